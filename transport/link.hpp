// One connection to one peer: frames out, frames in, and whether the peer is still there.
//
// The in-process link (inproc_link.hpp) and later the UCX link stand behind this interface, so
// nothing above it knows whether a peer is a thread or a machine away. Frames arrive as a wire
// would bring them: own bytes, decoded, possibly late, never, or after the peer has gone.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "core/expected.hpp"
#include "proto/frames/bodies.hpp"
#include "proto/frames/codec.hpp"
#include "transport/buffer_pool.hpp"

namespace troupe::transport {

/// An encoded frame on its way out. `head` starts with the 80-byte header; together with `rows`,
/// in order, it is the frame that the header's total_bytes measures.
struct OutgoingFrame {
  Buffer head;                                   // owned by the link until the frame has left
  std::vector<std::span<const std::byte>> rows;  // gathered; must stay untouched until `done`
};

/// The outcome of a send: Errc::ok when the frame has left and `rows` may be reused (which does not
/// mean that it arrived), `unavailable` when the peer was lost, `cancelled` when the link was
/// closed first. `rows` may be reused after any of them.
using SendDone = std::function<void(Errc)>;

/// A frame that came. `body` looks into `bytes` and stays valid when this is moved.
struct ReceivedFrame {
  Buffer bytes;
  proto::FrameHeader header;
  proto::Body body;

  /// False: there was no memory for it. Only its header came, and `body` is a Failed that says so.
  bool whole() const { return !bytes.empty(); }
};
inline ReceivedFrame without_memory(const proto::FrameHeader& header) {
  constexpr auto kCode = static_cast<std::uint16_t>(Errc::resource_exhausted);
  return {{}, header, proto::Failed{kCode, 0, "no memory for a frame"}};
}
using FrameSink = std::function<void(ReceivedFrame&&)>;

enum class LinkState : std::uint8_t {
  open,
  lost,    // the peer died, broke the format or was cut off; the owner destroys the link
  closed,  // by `close`
};

struct LinkHealth {
  LinkState state = LinkState::open;
  Error error{Errc::ok, {}};  // why it is no longer open: unavailable, malformed or cancelled
};

struct LinkStats {
  std::uint64_t frames_sent_total = 0;
  std::uint64_t frames_received_total = 0;
  std::uint64_t bytes_sent_total = 0;
  std::uint64_t bytes_received_total = 0;
  std::uint64_t refused_total = 0;    // sends refused because too many frames were under way
  std::uint64_t malformed_total = 0;  // frames whose bytes were wrong
  std::uint64_t stale_total = 0;      // well-formed frames that answered no open question
};

/// *Threading*: one loop, construction and destruction included: one thread at a time, whoever has
/// the loop's turn (doorbell.hpp). Nothing blocks. `send` may be called from a sink or a SendDone;
/// `progress`, `close` and the destructor may not.
class Link {
 public:
  virtual ~Link() = default;

  /// Takes the frame. `done`, when given, is called exactly once, in `send`, `progress`, `close` or
  /// the destructor. On refusal `frame` is left as it was and `done` is not called.
  /// *Errors*: `overloaded` when the limit of frames under way is reached (the loop is woken when
  /// there is room again: retry after the next `progress`); `unavailable` when the link is not
  /// open; `invalid_argument` when the bytes do not add up to the header's total_bytes.
  virtual Expected<void> send(OutgoingFrame&& frame, SendDone done) = 0;
  Expected<void> send(OutgoingFrame&& frame) { return send(std::move(frame), {}); }

  /// Moves bytes, then hands arrived frames to `sink`, in the order of sending and at most
  /// kFramesPerPass; not whole where there was no memory. A malformed frame is counted and ends the
  /// link (`lost`, malformed): nothing is received any more, but `send` still takes a Goodbye where
  /// the peer would not see the end by itself. True: there was work; what a link does only to find
  /// out whether its peer lives is none.
  virtual bool progress(const FrameSink& sink) = 0;

  /// Last call before the loop sleeps, on every link. False: work is there, do not sleep. True: new
  /// work makes `event_fd` readable, or rings the loop's doorbell where that is -1.
  virtual bool arm() = 0;

  /// For epoll, read side; -1 where a Doorbell given at construction does the waking.
  virtual int event_fd() const = 0;

  /// `open` until the peer is known to be lost. A stopped peer is never reported: only deadlines
  /// and heartbeats find it. Frames that had arrived before a loss are still delivered.
  virtual LinkHealth health() const = 0;

  /// Ends the connection; the peer sees a loss (say Goodbye first). `flush` gives frames already
  /// taken a short bounded chance to leave, `force` does not. Every open `done` has been called
  /// when it returns; frames not yet delivered are dropped. A second call does nothing.
  enum class CloseMode { flush, force };
  virtual void close(CloseMode mode) = 0;

  /// Frames that `send` took and that have not left yet.
  virtual std::size_t frames_in_flight() const = 0;

  virtual LinkStats stats() const = 0;
  /// What carries it, for people: "cma posix", "tcp", "inproc"; empty before it is known.
  virtual std::string lanes() const = 0;
  /// The owner found that a delivered frame answered no open question.
  virtual void count_stale() = 0;

  static constexpr std::size_t kFramesPerPass = 64;  // so that a flood cannot starve the mailbox
};

/// `x` as one contiguous frame in a buffer of `pool`.
template <class X>
OutgoingFrame make_frame(BufferPool& pool, const proto::FrameHeader& header, const X& x) {
  OutgoingFrame frame{pool.take(proto::encoded_bytes(x)), {}};
  proto::encode(header, x, frame.head.span());
  return frame;
}

/// `x` without its row bytes; the caller appends spans to `rows` that add up to them.
template <class X>
OutgoingFrame make_frame_head(BufferPool& pool, const proto::FrameHeader& header, const X& x) {
  OutgoingFrame frame{pool.take(proto::head_bytes(x)), {}};
  proto::encode_head(header, x, frame.head.span());
  return frame;
}

}  // namespace troupe::transport
