// The peers of one role: handshake, identity of every frame, frames that wait for room, loss.
#pragma once
#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "actors/peer_id.hpp"
#include "actors/request.hpp"
#include "transport/credits.hpp"
#include "transport/data_port.hpp"
#include "transport/handshake.hpp"

namespace troupe::actors {

struct PeersSettings {
  transport::CreditGrant grant{512, 4096};  // rows each peer may have under way to us
  std::chrono::milliseconds handshake_budget{5000};
  std::size_t outbox_frames_max = 4096;  // toward one peer, beyond what its link takes
};

/// Counters of one role's peers; only grow.
struct PeersStats {
  std::uint64_t refused_hellos_total = 0;
  std::uint64_t stale_frames_total = 0;
  std::uint64_t lost_total = 0;
};

/// A link as status and metrics show it.
struct LinkReport {
  PeerId self = 0;
  PeerId peer = 0;
  std::string lanes;  // "cma posix", "tcp", "inproc"
  transport::LinkStats stats;
};

/// Why a joined link ended.
enum class LinkEnding : std::uint8_t {
  lost,       // the peer went without a word, or came back on a new connection
  malformed,  // one side broke the format
  cut_off,    // we gave it up: silent, evicted, or it took no more frames
  left,       // one side said goodbye: no error
};
inline constexpr std::size_t kLinkEndings = 4;

/// Joined links of one role over the same lanes that ended, by LinkEnding, and how many peers came
/// back after that. Only grow.
struct LinkEndings {
  PeerId self = 0;
  std::string lanes;
  std::array<std::uint64_t, kLinkEndings> ended_total{};
  std::array<std::uint64_t, kLinkEndings> rejoined_total{};  // over these lanes, by how it ended
};

/// Owns the links. A peer is `joined` between on_joined and on_lost; frames of others never reach
/// the sink. *Threading*: one loop, construction and destruction included.
class Peers {
 public:
  struct Events {
    virtual ~Events() = default;
    virtual void on_joined(PeerId peer) = 0;
    /// Whole, or a Failed in place of an answer that there was no memory for.
    virtual void on_frame(PeerId peer, transport::ReceivedFrame&& frame) = 0;
    /// It had joined. Frames waiting for it are gone.
    virtual void on_lost(PeerId peer, const Error& why) = 0;
  };
  /// Told of every join, with no error, and of every end of a joined link.
  using Watcher = std::function<void(PeerId, const Error* lost)>;
  /// Told once whether a connection came to be.
  using Outcome = std::function<void(Expected<transport::Greeting>)>;

  /// `events` and `buffers` must outlive this.
  Peers(transport::Credentials own, PeersSettings settings, transport::BufferPool& buffers,
        Events& events);

  /// Takes a link to `peer`; `speaks_first` says Hello, the other side answers. A link that is
  /// there already is replaced, and its peer told to be lost first. *Errors* (through `outcome`):
  /// those of check_hello, `unavailable` when another than `peer` answers or it leaves,
  /// `deadline_exceeded` past handshake_budget.
  void add(PeerId peer, std::unique_ptr<transport::Link> link, bool speaks_first, TimePoint now,
           Outcome outcome);
  /// Says goodbye and closes. No event follows.
  void drop(PeerId peer, const Error& why);
  void drop_all(const Error& why);
  /// Says goodbye and closes; the event follows as if the peer had been lost.
  void lose(PeerId peer, const Error& why);
  /// Loses everybody and goes on under another incarnation.
  void rejoin(std::uint64_t incarnation, const Error& why);
  void set_watcher(Watcher watcher) { watcher_ = std::move(watcher); }

  /// Moves bytes, frames and handshakes; calls the events. True: there was work.
  bool progress(TimePoint now);
  bool arm() { return port_.arm(); }
  /// Descriptors to watch besides the loop's doorbell; they change when links_version() does.
  std::vector<int> event_fds() const { return port_.event_fds(); }
  std::uint64_t links_version() const { return links_version_; }
  std::optional<TimePoint> next_deadline() const;

  bool joined(PeerId peer) const;
  std::vector<PeerId> joined_of(proto::Role role) const;  // ascending
  const transport::Greeting* greeting(PeerId peer) const;
  std::vector<LinkReport> links() const;  // of joined peers, ascending
  std::string lanes(PeerId peer) const;   // empty where there is no link
  std::vector<LinkEndings> endings() const;
  /// Our account of rows under way to a joined peer; null otherwise.
  transport::CreditAccount* credits(PeerId peer);

  /// Sends, or keeps the frame until the link has room. Towards a peer that has not joined, or one
  /// whose outbox is full (it is then dropped as lost), the frame is discarded; `done` is called
  /// in every case.
  void send(PeerId peer, transport::OutgoingFrame&& frame, transport::SendDone done = {});
  std::size_t waiting_frames(PeerId peer) const;
  /// A header with our identity; work, layer, budget and placement are the caller's.
  proto::FrameHeader header() const;
  transport::BufferPool& buffers() { return buffers_; }
  /// What every peer may have under way to us.
  transport::CreditGrant grant() const { return settings_.grant; }
  void count_stale(PeerId peer);
  const PeersStats& stats() const { return stats_; }

 private:
  enum class State : std::uint8_t { expects_hello, expects_ack, joined };
  struct Waiting {
    transport::OutgoingFrame frame;
    transport::SendDone done;
  };
  struct Peer {
    State state = State::expects_hello;
    TimePoint handshake_ends;
    Outcome outcome;
    transport::Greeting greeting;
    transport::CreditAccount credits;
    std::deque<Waiting> outbox;
    std::string lanes;  // those it joined over: an endpoint that failed is not asked any more
  };
  /// A peer to be ended in the next progress.
  struct Broken {
    PeerId peer;
    Error why;
    LinkEnding how;
  };
  void receive(PeerId id, transport::ReceivedFrame&& frame);
  void receive_remnant(PeerId id, transport::ReceivedFrame&& frame);
  void greet(PeerId id, Peer& peer, const transport::ReceivedFrame& frame);
  void refuse(PeerId id, const Error& why);
  void end(PeerId id, const Error& why, LinkEnding how, bool tell);
  void join(PeerId id, Peer& peer, const transport::Greeting& greeting);
  LinkEndings& endings_over(const std::string& lanes);
  bool flush(PeerId id, Peer& peer);
  void say_goodbye(PeerId id, const Error& why);
  void expire_handshakes(TimePoint now);

  transport::Credentials own_;
  PeersSettings settings_;
  transport::BufferPool& buffers_;
  Events& events_;
  std::map<PeerId, Peer> peers_;
  std::vector<Broken> broken_;
  std::map<std::string, LinkEndings> endings_;  // by lanes
  std::map<PeerId, LinkEnding> ended_;          // how each peer that is away went
  PeersStats stats_;
  Watcher watcher_;
  std::uint64_t links_version_ = 0;
  transport::DataPort port_;  // last: its links call back into what is above while they close
};

}  // namespace troupe::actors
