// The links of one loop, by peer: progress, arm and look after all of them in one call each.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "transport/link.hpp"

namespace troupe::transport {

/// Chosen by the owner, e.g. (role << 32) | index.
using PeerId = std::uint64_t;

/// *Threading*: as Link: one loop. `add`, `remove` and `send` may be called from the sinks; a link
/// removed there is destroyed after the pass, and none of its frames come any more.
class DataPort {
 public:
  using Sink = std::function<void(PeerId, ReceivedFrame&&)>;
  using LostSink = std::function<void(PeerId, const LinkHealth&)>;

  DataPort() = default;
  DataPort(const DataPort&) = delete;
  DataPort& operator=(const DataPort&) = delete;
  ~DataPort();

  /// Replaces the link of that peer, if there is one.
  void add(PeerId peer, std::unique_ptr<Link> link);
  void remove(PeerId peer);
  Link* find(PeerId peer);
  const Link* find(PeerId peer) const;
  std::size_t size() const { return links_.size(); }

  /// *Errors*: those of Link::send; `unavailable` when there is no such peer.
  Expected<void> send(PeerId peer, OutgoingFrame&& frame, SendDone done = {});

  /// One pass over all links; each lost one is handed to `lost` once, after its last frames, and
  /// removed after that. True: there was work.
  bool progress(const Sink& sink, const LostSink& lost);
  /// True only when every link has armed. Call last before sleeping.
  bool arm();
  /// Descriptors to watch besides the loop's doorbell. Changes with add and remove.
  std::vector<int> event_fds() const;
  void close_all(Link::CloseMode mode);

 private:
  void destroy_removed();
  std::map<PeerId, std::unique_ptr<Link>> links_;
  std::vector<std::unique_ptr<Link>> removed_;
  bool in_pass_ = false;
};

}  // namespace troupe::transport
