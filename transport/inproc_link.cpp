// The ends of an in-process link.
#include "transport/inproc_link.hpp"

#include <cstring>
#include <deque>
#include <new>
#include <string>
#include <utility>

#include "transport/inproc_channel.hpp"

namespace troupe::transport {
namespace {

using detail::InprocChannel;
using detail::InprocConnection;

/// Bytes of magic, version and total length: a change of any of them is always found.
constexpr std::size_t kTellingBytes[] = {0, 1, 2, 3, 4, 5, 8, 9, 10, 11};

class InprocLink final : public Link {
 public:
  struct Direction {
    InprocChannel* channel;
    std::shared_ptr<FaultPlan> faults;  // of what leaves here
  };
  InprocLink(std::shared_ptr<InprocConnection> connection, InprocChannel& in, Direction out,
             BufferPool& pool)
      : connection_(std::move(connection)), in_(in), out_(std::move(out)), pool_(pool) {}
  ~InprocLink() override { close(CloseMode::flush); }

  Expected<void> send(OutgoingFrame&& frame, SendDone done) override;
  bool progress(const FrameSink& sink) override;
  bool arm() override;
  int event_fd() const override { return -1; }
  LinkHealth health() const override;
  void close(CloseMode mode) override;
  std::size_t frames_in_flight() const override { return out_.channel->under_way(); }
  LinkStats stats() const override { return stats_; }
  std::string lanes() const override { return "inproc"; }
  void count_stale() override { ++stats_.stale_total; }

 private:
  Expected<std::size_t> measure(const OutgoingFrame& frame);
  Buffer copy(const OutgoingFrame& frame, std::size_t bytes);
  void transmit_header(const proto::FrameHeader& header);
  void transmit(Buffer frame, Fault fault);
  void complete(Errc outcome);
  bool peer_has_gone() const { return connection_->is_cut() || in_.ended(); }
  void deliver(Buffer bytes, const FrameSink& sink);

  std::shared_ptr<InprocConnection> connection_;
  InprocChannel& in_;
  Direction out_;
  BufferPool& pool_;
  std::deque<SendDone> done_;    // of frames that have left
  std::vector<Buffer> arrived_;  // of one pass
  LinkHealth health_;
  LinkStats stats_;
  bool in_pass_ = false;
};

Expected<std::size_t> InprocLink::measure(const OutgoingFrame& frame) {
  std::size_t bytes = frame.head.size();
  for (const auto& row : frame.rows) bytes += row.size();
  proto::FrameHeader header;
  if (frame.head.size() < sizeof header) {
    return unexpected(Errc::invalid_argument, "a frame's first buffer must hold its whole header");
  }
  std::memcpy(&header, frame.head.data(), sizeof header);
  if (header.total_bytes == bytes) return bytes;
  return unexpected(Errc::invalid_argument, "a frame of " + std::to_string(bytes) +
                                                " bytes says that it has " +
                                                std::to_string(header.total_bytes));
}

Expected<void> InprocLink::send(OutgoingFrame&& frame, SendDone done) {
  const auto bytes = measure(frame);
  if (!bytes) return unexpected(bytes.error());
  const LinkHealth now = health();
  if (now.state != LinkState::open) return unexpected(Errc::unavailable, now.error.detail);
  switch (out_.channel->admit(*bytes)) {
    case InprocChannel::Admission::taken: break;
    case InprocChannel::Admission::closed:
      return unexpected(Errc::unavailable, "the peer has closed the in-process link");
    case InprocChannel::Admission::full:
      ++stats_.refused_total;
      return unexpected(Errc::overloaded,
                        "too many frames are under way to the peer; retry after progress");
  }
  proto::FrameHeader header;
  std::memcpy(&header, frame.head.data(), sizeof header);
  const Fault fault = out_.faults == nullptr
                          ? Fault::none
                          : out_.faults->decide(static_cast<proto::FrameKind>(header.kind));
  Buffer copied;
  try {
    copied = copy(frame, *bytes);
  } catch (const std::bad_alloc&) {
    transmit_header(header);
  }
  if (!copied.empty()) transmit(std::move(copied), fault);
  ++stats_.frames_sent_total;
  stats_.bytes_sent_total += *bytes;
  { const Buffer released = std::move(frame.head); }
  frame.rows.clear();
  if (done) done_.push_back(std::move(done));
  return {};
}

Buffer InprocLink::copy(const OutgoingFrame& frame, std::size_t bytes) {
  Buffer copied = pool_.take(bytes, BufferPool::left_by_frame(bytes));
  std::memcpy(copied.data(), frame.head.data(), frame.head.size());
  std::size_t at = frame.head.size();
  for (const auto& row : frame.rows) {
    if (!row.empty()) std::memcpy(copied.data() + at, row.data(), row.size());
    at += row.size();
  }
  return copied;
}

void InprocLink::transmit(Buffer frame, Fault fault) {
  InprocChannel& channel = *out_.channel;
  switch (fault) {
    case Fault::drop: return channel.forget(frame.size());
    case Fault::delay: return channel.push_delayed(std::move(frame));
    case Fault::lose_peer: channel.forget(frame.size()); return connection_->cut();
    case Fault::duplicate: {
      Buffer again = pool_.take(frame.size());
      std::memcpy(again.data(), frame.data(), frame.size());
      channel.push(std::move(frame));
      return channel.push_copy(std::move(again));
    }
    case Fault::corrupt: {
      const std::uint64_t random = out_.faults->random();
      const std::size_t at = kTellingBytes[random % std::size(kTellingBytes)];
      frame.data()[at] ^= static_cast<std::byte>(1 + (random >> 32) % 255);
      return channel.push(std::move(frame));
    }
    case Fault::none: return channel.push(std::move(frame));
  }
}

/// In place of a frame there is no memory for: the other end makes of it what it would of one that
/// came over a wire.
void InprocLink::transmit_header(const proto::FrameHeader& header) {
  Buffer alone = pool_.take(sizeof header);
  std::memcpy(alone.data(), &header, sizeof header);
  out_.channel->forget(header.total_bytes);
  out_.channel->push_copy(std::move(alone));
}

void InprocLink::complete(Errc outcome) {
  // Only those that are there now: a `done` may send again.
  for (std::size_t open = done_.size(); open > 0; --open) {
    const SendDone done = std::move(done_.front());
    done_.pop_front();
    done(outcome);
  }
}

bool InprocLink::progress(const FrameSink& sink) {
  TROUPE_CHECK(!in_pass_, "progress of a link inside its own progress");
  if (health_.state != LinkState::open) return false;
  in_pass_ = true;
  bool busy = !done_.empty();
  complete(Errc::ok);
  in_.drain(arrived_, kFramesPerPass);
  busy |= !arrived_.empty();
  for (Buffer& bytes : arrived_) {
    if (health_.state == LinkState::open) deliver(std::move(bytes), sink);
  }
  arrived_.clear();
  if (health_.state == LinkState::open && peer_has_gone()) {
    health_ = health();
    busy = true;
  }
  in_pass_ = false;
  return busy;
}

void InprocLink::deliver(Buffer bytes, const FrameSink& sink) {
  if (bytes.size() == proto::kHeaderBytes) {  // no frame ends here
    proto::FrameHeader header;
    std::memcpy(&header, bytes.data(), sizeof header);
    if (header.total_bytes > sizeof header) return sink(without_memory(header));
  }
  auto decoded = proto::decode(std::as_const(bytes).span());
  if (!decoded) {
    ++stats_.malformed_total;
    health_ = {LinkState::lost, {Errc::malformed, decoded.malformed().text}};
    return connection_->cut();
  }
  ++stats_.frames_received_total;
  stats_.bytes_received_total += bytes.size();
  proto::Frame& frame = decoded.frame();
  sink({std::move(bytes), frame.header, std::move(frame.body)});
}

bool InprocLink::arm() {
  if (health_.state != LinkState::open) return true;  // nothing will come, and the owner knows
  return done_.empty() && in_.park() && !peer_has_gone();
}

LinkHealth InprocLink::health() const {
  if (health_.state != LinkState::open || !peer_has_gone()) return health_;
  return {LinkState::lost,
          {Errc::unavailable, connection_->is_cut() ? "the in-process connection was cut"
                                                    : "the peer has closed the in-process link"}};
}

void InprocLink::close(CloseMode mode) {
  TROUPE_CHECK(!in_pass_, "a link was closed from its own progress");
  const bool was_open = health_.state == LinkState::open;
  if (health_.state == LinkState::closed) return;
  // First, so that a `done` that sends again is refused.
  health_ = {LinkState::closed, {Errc::cancelled, "the link was closed here"}};
  complete(was_open ? Errc::cancelled : Errc::unavailable);
  if (mode == CloseMode::force) connection_->cut();
  out_.channel->writer_leaves();
  in_.reader_leaves();
}

}  // namespace

InprocPair make_inproc_pair(Doorbell& bell_a, Doorbell& bell_b, BufferPool& pool,
                            InprocSettings settings) {
  const InprocChannel::Limits limits{settings.frames_in_flight_max, settings.bytes_in_flight_max};
  auto connection = std::make_shared<InprocConnection>(limits, bell_a, bell_b);
  InprocChannel& a_to_b = connection->a_to_b;
  InprocChannel& b_to_a = connection->b_to_a;
  // The aliasing constructor: whoever holds a channel holds the connection.
  if (settings.faults_a_to_b) {
    settings.faults_a_to_b->attach(std::shared_ptr<FaultTarget>(connection, &a_to_b));
  }
  if (settings.faults_b_to_a) {
    settings.faults_b_to_a->attach(std::shared_ptr<FaultTarget>(connection, &b_to_a));
  }
  InprocPair pair;
  pair.a = std::make_unique<InprocLink>(
      connection, b_to_a, InprocLink::Direction{&a_to_b, settings.faults_a_to_b}, pool);
  pair.b = std::make_unique<InprocLink>(
      connection, a_to_b, InprocLink::Direction{&b_to_a, settings.faults_b_to_a}, pool);
  return pair;
}

}  // namespace troupe::transport
