// Passes over the links of one loop.
#include "transport/data_port.hpp"

#include <string>

namespace troupe::transport {

DataPort::~DataPort() {
  TROUPE_CHECK(!in_pass_, "a data port was destroyed from its own pass");
  const auto links = std::exchange(links_, {});  // their `done`s find an empty port
}

void DataPort::add(PeerId peer, std::unique_ptr<Link> link) {
  remove(peer);
  links_[peer] = std::move(link);
}

void DataPort::remove(PeerId peer) {
  const auto found = links_.find(peer);
  if (found == links_.end() || found->second == nullptr) return;
  removed_.push_back(std::move(found->second));
  if (in_pass_) return;  // the empty place goes at the end of the pass
  links_.erase(found);
  destroy_removed();
}

void DataPort::destroy_removed() {
  const auto links = std::exchange(removed_, {});  // their `done`s may remove others
}

Link* DataPort::find(PeerId peer) {
  const auto found = links_.find(peer);
  return found == links_.end() ? nullptr : found->second.get();
}

const Link* DataPort::find(PeerId peer) const {
  const auto found = links_.find(peer);
  return found == links_.end() ? nullptr : found->second.get();
}

Expected<void> DataPort::send(PeerId peer, OutgoingFrame&& frame, SendDone done) {
  Link* link = find(peer);
  if (link != nullptr) return link->send(std::move(frame), std::move(done));
  return unexpected(Errc::unavailable, "there is no link to peer " + std::to_string(peer));
}

bool DataPort::progress(const Sink& sink, const LostSink& lost) {
  TROUPE_CHECK(!in_pass_, "progress of a data port inside its own pass");
  in_pass_ = true;
  bool busy = false;
  for (auto& [peer, place] : links_) {
    Link* const link = place.get();
    if (link == nullptr) continue;
    // `peer` and `place` stay where they are: a pass erases nothing, and a map moves nothing.
    busy |= link->progress([&](ReceivedFrame&& frame) {
      if (place.get() == link) sink(peer, std::move(frame));
    });
    if (place.get() != link) continue;
    const LinkHealth health = link->health();
    if (health.state == LinkState::open) continue;
    lost(peer, health);
    if (place.get() == link) remove(peer);  // it may have been replaced
    busy = true;
  }
  in_pass_ = false;
  std::erase_if(links_, [](const auto& entry) { return entry.second == nullptr; });
  destroy_removed();
  return busy;
}

bool DataPort::arm() {
  for (auto& [peer, link] : links_) {
    if (!link->arm()) return false;
  }
  return true;
}

std::vector<int> DataPort::event_fds() const {
  std::vector<int> fds;
  for (const auto& [peer, link] : links_) {
    if (link != nullptr && link->event_fd() >= 0) fds.push_back(link->event_fd());
  }
  return fds;
}

void DataPort::close_all(Link::CloseMode mode) {
  TROUPE_CHECK(!in_pass_, "a data port was closed from its own pass");
  for (auto& [peer, link] : links_) link->close(mode);
}

}  // namespace troupe::transport
