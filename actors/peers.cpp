// Handshakes, identity checks, outboxes and losses.
#include "actors/peers.hpp"

#include <algorithm>
#include <string>

#include "proto/identity.hpp"

namespace troupe::actors {
namespace {

// Gateways come under a new id each time: those that never come back are not remembered for ever.
constexpr std::size_t kEndedMax = 4096;

}  // namespace

Peers::Peers(transport::Credentials own, PeersSettings settings, transport::BufferPool& buffers,
             Events& events)
    : own_(own), settings_(settings), buffers_(buffers), events_(events) {}

proto::FrameHeader Peers::header() const {
  proto::FrameHeader header;
  header.cluster_id = own_.identity.cluster_id;
  header.numerics_id = own_.identity.numerics_id;
  header.sender_incarnation = own_.identity.incarnation;
  return header;
}

void Peers::add(PeerId id, std::unique_ptr<transport::Link> link, bool speaks_first, TimePoint now,
                Outcome outcome) {
  if (peers_.contains(id)) {
    const Error why{Errc::unavailable, name_of(id) + " has come back on a new connection"};
    say_goodbye(id, why);
    end(id, why, LinkEnding::lost, /*tell=*/true);
  }
  std::erase_if(broken_, [id](const Broken& one) { return one.peer == id; });
  port_.add(id, std::move(link));
  ++links_version_;
  auto& peer = peers_[id];
  peer.state = speaks_first ? State::expects_ack : State::expects_hello;
  peer.handshake_ends = now + settings_.handshake_budget;
  peer.outcome = std::move(outcome);
  if (!speaks_first) return;
  const auto hello = transport::make_hello(own_, settings_.grant);
  if (auto sent =
          port_.send(id, transport::make_frame(buffers_, transport::hello_header(own_), hello));
      !sent)
    broken_.push_back({id, sent.error(), LinkEnding::lost});
}

void Peers::say_goodbye(PeerId id, const Error& why) {
  const proto::Goodbye goodbye{static_cast<std::uint16_t>(why.code),
                               proto::clip_detail(why.detail)};
  (void)port_.send(id, transport::make_frame(buffers_, header(), goodbye)).has_value();
}

void Peers::drop(PeerId id, const Error& why) {
  if (!peers_.contains(id)) return;
  say_goodbye(id, why);
  end(id, why, LinkEnding::left, /*tell=*/false);
}

void Peers::drop_all(const Error& why) {
  while (!peers_.empty()) drop(peers_.begin()->first, why);
}

void Peers::lose(PeerId id, const Error& why) {
  if (!peers_.contains(id)) return;
  say_goodbye(id, why);
  end(id, why, LinkEnding::cut_off, /*tell=*/true);
}

void Peers::rejoin(std::uint64_t incarnation, const Error& why) {
  while (!peers_.empty()) lose(peers_.begin()->first, why);
  own_.identity.incarnation = incarnation;
}

LinkEndings& Peers::endings_over(const std::string& lanes) {
  auto& endings = endings_[lanes];
  endings.self = peer_id(own_.role, own_.index);
  endings.lanes = lanes;
  return endings;
}

void Peers::end(PeerId id, const Error& why, LinkEnding how, bool tell) {
  auto found = peers_.find(id);
  if (found == peers_.end()) return;
  Peer peer = std::move(found->second);
  peers_.erase(found);
  port_.remove(id);
  ++links_version_;
  for (auto& waiting : peer.outbox)
    if (waiting.done) waiting.done(Errc::unavailable);
  if (peer.state != State::joined) {
    if (peer.outcome) peer.outcome(unexpected(why));
    return;
  }
  ++stats_.lost_total;
  ++endings_over(peer.lanes).ended_total[static_cast<std::size_t>(how)];
  if (ended_.size() < kEndedMax) ended_[id] = how;
  if (watcher_) watcher_(id, &why);
  if (tell) events_.on_lost(id, why);
}

void Peers::refuse(PeerId id, const Error& why) {
  ++stats_.refused_hellos_total;
  say_goodbye(id, why);
  broken_.push_back({id, why, LinkEnding::cut_off});
}

void Peers::receive(PeerId id, transport::ReceivedFrame&& frame) {
  auto found = peers_.find(id);
  if (found == peers_.end()) return;
  auto& peer = found->second;
  if (const auto* goodbye = std::get_if<proto::Goodbye>(&frame.body)) {
    auto code = static_cast<Errc>(goodbye->error);
    if (code == Errc::ok) code = Errc::unavailable;
    broken_.push_back({id,
                       {code, name_of(id) + " left: " + std::string(goodbye->detail)},
                       code == Errc::malformed ? LinkEnding::malformed : LinkEnding::left});
    return;
  }
  if (peer.state != State::joined) return greet(id, peer, frame);
  if (!proto::sent_by(peer.greeting.peer, frame.header)) return count_stale(id);
  if (!frame.whole()) return receive_remnant(id, std::move(frame));
  events_.on_frame(id, std::move(frame));
}

/// There was no memory for the frame: whoever asked, the peer or this role, hears that it failed.
void Peers::receive_remnant(PeerId id, transport::ReceivedFrame&& frame) {
  using Kind = proto::FrameKind;
  const auto kind = static_cast<Kind>(frame.header.kind);
  if (proto::kind_answers(kind, Kind::failed)) {
    const auto header = proto::reply_header(frame.header, own_.identity.incarnation, 0);
    const auto& failed = std::get<proto::Failed>(frame.body);
    return send(id, transport::make_frame(buffers_, header, failed));
  }
  for (const auto asked : {Kind::submit, Kind::rows, Kind::expert_rows})
    if (proto::kind_answers(asked, kind)) {
      frame.header.kind = static_cast<std::uint16_t>(Kind::failed);
      return events_.on_frame(id, std::move(frame));
    }
  count_stale(id);  // it is owed no answer, and so small that this is rare
}

void Peers::greet(PeerId id, Peer& peer, const transport::ReceivedFrame& frame) {
  const proto::Hello* hello = peer.state == State::expects_ack
                                  ? std::get_if<proto::HelloAck>(&frame.body)
                                  : std::get_if<proto::Hello>(&frame.body);
  if (hello == nullptr)
    return refuse(id, {Errc::malformed, name_of(id) + " speaks before it has said hello"});
  auto greeting = transport::check_hello(own_, frame.header, *hello);
  if (!greeting) return refuse(id, greeting.error());
  if (peer_id(greeting->role, greeting->index) != id)
    return refuse(id, {Errc::unavailable, "expected " + name_of(id) + ", found " +
                                              name_of(peer_id(greeting->role, greeting->index))});
  if (peer.state == State::expects_hello) {
    const proto::HelloAck ack{transport::make_hello(own_, settings_.grant)};
    auto answer = transport::make_frame(buffers_, transport::hello_header(own_), ack);
    if (auto sent = port_.send(id, std::move(answer)); !sent)
      return broken_.push_back({id, sent.error(), LinkEnding::lost});
  }
  join(id, peer, *greeting);
}

void Peers::join(PeerId id, Peer& peer, const transport::Greeting& greeting) {
  peer.state = State::joined;
  peer.greeting = greeting;
  peer.credits.reset(greeting.grant);
  peer.lanes = lanes(id);
  if (const auto away = ended_.extract(id))
    ++endings_over(peer.lanes).rejoined_total[static_cast<std::size_t>(away.mapped())];
  if (watcher_) watcher_(id, nullptr);
  if (auto outcome = std::exchange(peer.outcome, {})) outcome(greeting);
  events_.on_joined(id);
}

bool Peers::flush(PeerId id, Peer& peer) {
  bool busy = false;
  while (!peer.outbox.empty()) {
    auto& first = peer.outbox.front();
    auto done = first.done;
    if (auto sent = port_.send(id, std::move(first.frame), std::move(done)); !sent) {
      if (sent.error().code != Errc::overloaded)
        broken_.push_back({id, sent.error(), LinkEnding::lost});
      break;
    }
    peer.outbox.pop_front();
    busy = true;
  }
  return busy;
}

void Peers::expire_handshakes(TimePoint now) {
  for (auto& [id, peer] : peers_)
    if (peer.state != State::joined && peer.handshake_ends <= now)
      broken_.push_back(
          {id,
           {Errc::deadline_exceeded, name_of(id) + " did not say hello within the budget"},
           LinkEnding::cut_off});
}

bool Peers::progress(TimePoint now) {
  bool busy = port_.progress(
      [&](PeerId id, transport::ReceivedFrame&& frame) { receive(id, std::move(frame)); },
      [&](PeerId id, const transport::LinkHealth& health) {
        auto why = health.error;
        why.detail = name_of(id) + " was lost: " + why.detail;
        const bool malformed = why.code == Errc::malformed;
        if (malformed)
          say_goodbye(id, health.error);  // shared memory does not tell it
        else
          why.code = Errc::unavailable;
        broken_.push_back(
            {id, std::move(why), malformed ? LinkEnding::malformed : LinkEnding::lost});
      });
  for (auto& [id, peer] : peers_) busy |= flush(id, peer);
  expire_handshakes(now);
  for (const auto& one : std::exchange(broken_, {})) {
    end(one.peer, one.why, one.how, /*tell=*/true);
    busy = true;
  }
  return busy;
}

std::optional<TimePoint> Peers::next_deadline() const {
  std::optional<TimePoint> next;
  for (const auto& [id, peer] : peers_)
    if (peer.state != State::joined && (!next || peer.handshake_ends < *next))
      next = peer.handshake_ends;
  return next;
}

bool Peers::joined(PeerId id) const { return greeting(id) != nullptr; }

std::vector<PeerId> Peers::joined_of(proto::Role role) const {
  std::vector<PeerId> ids;
  for (const auto& [id, peer] : peers_)
    if (role_of(id) == role && peer.state == State::joined) ids.push_back(id);
  return ids;
}

const transport::Greeting* Peers::greeting(PeerId id) const {
  const auto found = peers_.find(id);
  const bool there = found != peers_.end() && found->second.state == State::joined;
  return there ? &found->second.greeting : nullptr;
}

std::string Peers::lanes(PeerId id) const {
  const auto* link = port_.find(id);
  return link == nullptr ? std::string() : link->lanes();
}

std::vector<LinkReport> Peers::links() const {
  std::vector<LinkReport> links;
  const auto self = peer_id(own_.role, own_.index);
  for (const auto& [id, peer] : peers_) {
    const auto* link = port_.find(id);
    if (peer.state != State::joined || link == nullptr) continue;
    links.push_back({self, id, link->lanes(), link->stats()});
  }
  return links;
}

std::vector<LinkEndings> Peers::endings() const {
  std::vector<LinkEndings> all;
  for (const auto& [lanes, endings] : endings_) all.push_back(endings);
  return all;
}

transport::CreditAccount* Peers::credits(PeerId id) {
  const auto found = peers_.find(id);
  const bool there = found != peers_.end() && found->second.state == State::joined;
  return there ? &found->second.credits : nullptr;
}

void Peers::send(PeerId id, transport::OutgoingFrame&& frame, transport::SendDone done) {
  const auto found = peers_.find(id);
  if (found == peers_.end() || found->second.state != State::joined) {
    if (done) done(Errc::unavailable);
    return;
  }
  auto& outbox = found->second.outbox;
  if (outbox.size() >= settings_.outbox_frames_max) {
    broken_.push_back(
        {id, {Errc::unavailable, name_of(id) + " takes no frames any more"}, LinkEnding::cut_off});
    if (done) done(Errc::unavailable);
    return;
  }
  outbox.push_back({std::move(frame), std::move(done)});
  flush(id, found->second);
}

std::size_t Peers::waiting_frames(PeerId id) const {
  const auto found = peers_.find(id);
  return found == peers_.end() ? 0 : found->second.outbox.size();
}

void Peers::count_stale(PeerId id) {
  ++stats_.stale_frames_total;
  if (auto* link = port_.find(id)) link->count_stale();
}

}  // namespace troupe::actors
