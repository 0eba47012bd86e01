// The UCX links of one loop until their peers are known: made here, opened, handed to Peers.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "actors/node_event.hpp"
#include "actors/peer_id.hpp"
#include "core/expected.hpp"
#include "transport/ucx/ucx_link.hpp"

namespace troupe::actors {

/// What the user allows UCX; the lane really chosen is read back, logged, and compared with this.
enum class Transport : std::uint8_t { automatic, shm, tcp };
std::string_view to_string(Transport transport);

struct DockSettings {
  Transport transport = Transport::automatic;
  std::vector<std::pair<std::string, std::string>> ucx_options;  // names without UCX_
  std::vector<std::string> ucx_set_by_user;  // likewise; set in the environment, where they win
};

/// The reason to warn: the lanes are not what was asked for. Empty otherwise.
std::string lane_fault(Transport asked, const std::string& lanes);

/// *Threading*: one loop, construction and destruction included. Its links must die before it.
class UcxDock {
 public:
  UcxDock(DockSettings settings, transport::BufferPool& pool, EventSink events)
      : settings_(std::move(settings)), pool_(pool), events_(std::move(events)) {}

  /// Makes a link and keeps it for `dialled`; an earlier one to that peer is dropped. Returns the
  /// address that the peer has to open. The first link makes UCX's context (tens of ms). `over_tcp`
  /// leaves shared memory out: it could not be opened before (Errc::io).
  /// *Errors*: those of UcxContext::make and UcxLink::make.
  Expected<std::string> dial(PeerId peer, bool over_tcp);
  /// Opens the dialled link. *Errors*: `unavailable` when it was abandoned; those of UcxLink::open.
  Expected<std::unique_ptr<transport::Link>> dialled(PeerId peer, std::string_view address);
  void abandon(PeerId peer) { pending_.erase(peer); }

  struct Accepted {
    std::unique_ptr<transport::Link> link;
    std::string address;  // for the dialler
  };
  /// Makes a link and opens `address`, that of a peer which dials us.
  Expected<Accepted> accept(std::string_view address);
  /// Whether the newest link to that peer was dialled over tcp for want of something better.
  bool fell_back(PeerId peer) const { return fallen_back_.contains(peer); }

 private:
  Expected<std::unique_ptr<transport::UcxLink>> make(bool over_tcp);
  Expected<std::unique_ptr<transport::UcxContext>> make_context(bool over_tcp);

  DockSettings settings_;
  transport::BufferPool& pool_;
  EventSink events_;
  std::unique_ptr<transport::UcxContext> context_;
  std::unique_ptr<transport::UcxContext> tcp_context_;  // for peers whose memory cannot be opened
  std::set<PeerId> fallen_back_;
  std::map<PeerId, std::unique_ptr<transport::UcxLink>> pending_;  // after what they need
};

}  // namespace troupe::actors
