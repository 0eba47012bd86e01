// Frames to bytes and back; the decoder takes any bytes and says what is wrong with them.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>

#include "proto/frames/bodies.hpp"
#include "proto/frames/header.hpp"

namespace troupe::proto {

/// Why bytes are not a frame. For metrics labels: a closed set.
enum class MalformedReason : std::uint8_t {
  too_short,  // ends before its header or a part that it announces
  magic,
  version,  // the text names both versions
  kind,     // a kind this version does not know
  length,   // total_bytes differs from the bytes that came, or bytes are left over
  lane,
  reserved,  // bytes that must be 0 are not
  bound,     // a count or length past its limit
  value,     // an enumerator, flag or number that means nothing
  order,     // pairs that are not strictly ascending
};
inline constexpr std::size_t kMalformedReasons = 10;
std::string_view to_string(MalformedReason reason);

struct Malformed {
  MalformedReason reason = MalformedReason::too_short;
  std::string text;  // what, with the numbers
};

struct Frame {
  FrameHeader header;
  Body body;  // views into the decoded bytes
};

/// A frame or the reason why there is none. Keep it in a variable: what it holds cannot be read
/// from a temporary, whose frame would be gone.
class DecodeResult {
 public:
  DecodeResult(Frame frame) : result_(std::move(frame)) {}
  DecodeResult(Malformed malformed) : result_(std::move(malformed)) {}
  bool ok() const { return result_.index() == 0; }
  explicit operator bool() const { return ok(); }
  Frame& frame() & { return std::get<Frame>(result_); }
  const Frame& frame() const& { return std::get<Frame>(result_); }
  const Frame& frame() const&& = delete;
  const Malformed& malformed() const& { return std::get<Malformed>(result_); }
  const Malformed& malformed() const&& = delete;

 private:
  std::variant<Frame, Malformed> result_;
};

/// What is wrong with `x`, if anything: counts past their bounds, values without meaning, order.
/// Both `encode` and `decode` hold to it; ask before encoding what a user wrote.
/// X is any alternative of Body.
template <class X>
std::optional<Malformed> find_fault(const X& x);

/// Bytes `encode` writes, header included. Details are cut to kDetailBytesMax.
template <class X>
std::size_t encoded_bytes(const X& x);

/// Writes the frame to `out`, which has exactly encoded_bytes(x) bytes. Magic, kind and total_bytes
/// of `header` are set here. Ends the process when `x` has a fault: the caller's bug.
template <class X>
void encode(const FrameHeader& header, const X& x, std::span<std::byte> out);

/// The part of a frame before its row bytes, for sending rows from where they lie (gather):
/// head_bytes(x) + row bytes = encoded_bytes(x). `x.rows.data` (`data` of Logits) is not read.
template <class X>
std::size_t head_bytes(const X& x);
template <class X>
void encode_head(const FrameHeader& header, const X& x, std::span<std::byte> out);

/// The frame in `bytes`, as views into it, or what is wrong. Any bytes may be given; nothing but
/// the text of an error is allocated. Header first, then every bound, then the contents.
DecodeResult decode(std::span<const std::byte> bytes);

/// The header alone, for a receiver that has to choose a buffer before the rest arrives: checks
/// magic, version, kind, lane, reserved bytes and that total_bytes is `frame_bytes`, in bounds.
/// `out` is set on success.
std::optional<Malformed> check_header(std::span<const std::byte> first_bytes,
                                      std::size_t frame_bytes, FrameHeader& out);

/// The protocol versions a process speaks; this build's by default (N and N-1).
struct VersionRange {
  std::uint16_t min = kProtocolVersionOldest;
  std::uint16_t max = kProtocolVersion;
};
/// The version two peers will speak: the highest both know. Where their ranges do not meet, the
/// text names both.
std::variant<std::uint16_t, Malformed> choose_version(VersionRange ours, VersionRange theirs);

/// `text` cut to kDetailBytesMax without splitting a UTF-8 character.
std::string_view clip_detail(std::string_view text);

}  // namespace troupe::proto
