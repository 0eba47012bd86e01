// Bytes to frames: any bytes may come, and none is believed before it was checked.
#include <cstring>

#include "proto/frames/codec.hpp"
#include "proto/frames/each_body.hpp"
#include "proto/frames/sections.hpp"

namespace troupe::proto {
namespace detail {

std::optional<Malformed> find_row_block_fault(const RowBlock& x, std::uint32_t rows_min,
                                              std::uint32_t rows_max) {
  if (static_cast<std::uint16_t>(x.dtype) > static_cast<std::uint16_t>(WireDtype::e4m3_block128)) {
    return Malformed{MalformedReason::value,
                     "row dtype " + std::to_string(static_cast<std::uint16_t>(x.dtype))};
  }
  if (x.rows >= rows_min && x.rows <= rows_max && x.width >= 1 && x.width <= kWidthMax) {
    return std::nullopt;
  }
  return Malformed{MalformedReason::bound,
                   std::to_string(x.rows) + " rows of " + std::to_string(x.width) +
                       " elements; allowed are " + std::to_string(rows_min) + " to " +
                       std::to_string(rows_max) + " rows of 1 to " + std::to_string(kWidthMax)};
}

}  // namespace detail

namespace {

Malformed version_fault(std::uint16_t theirs) {
  return {MalformedReason::version,
          "the frame has protocol version " + std::to_string(theirs) + ", this process speaks " +
              std::to_string(kProtocolVersionOldest) + " to " + std::to_string(kProtocolVersion) +
              "; use builds at most one protocol version apart"};
}

/// Takes parts from the front; after the first fault it takes nothing more.
struct Reader {
  std::span<const std::byte> bytes;  // the whole frame
  std::size_t at;
  std::optional<Malformed> fault = {};

  const std::byte* take(std::size_t count, const char* what) {
    if (fault) return nullptr;
    if (count > bytes.size() - at) {
      fault = Malformed{MalformedReason::too_short,
                        std::to_string(bytes.size() - at) + " bytes are left, " +
                            std::to_string(count) + " announced for " + what};
      return nullptr;
    }
    const std::byte* first = bytes.data() + at;
    at += count;
    return first;
  }
  void bound(std::size_t count, std::size_t max, const char* what) {
    if (fault || count <= max) return;
    fault = Malformed{MalformedReason::bound, std::to_string(count) + " " + what + ", at most " +
                                                  std::to_string(max) + " are allowed"};
  }
  template <class T>
  void array(PackedArray<T>& values, std::size_t count, std::size_t max, const char* what) {
    bound(count, max, what);
    if (const std::byte* first = take(count * sizeof(T), what)) {
      values = PackedArray<T>::at(first, count);
    }
  }
  void text(std::string_view& text, std::size_t count, std::size_t max, const char* what) {
    bound(count, max, what);
    if (const std::byte* first = take(count, what)) {
      text = {reinterpret_cast<const char*>(first), count};
    }
  }
  void detail(std::string_view& detail, std::size_t count) {
    text(detail, count, kDetailBytesMax, "detail bytes");
  }
  void rows(RowBlock& x, std::uint32_t rows_min, std::uint32_t rows_max) {
    if (!fault) fault = detail::find_row_block_fault(x, rows_min, rows_max);
    data(x.data, row_block_bytes(x.rows, x.width, x.dtype));
  }
  void data(std::span<const std::byte>& data, std::size_t count) {
    const std::size_t padding = (kRowAlignment - at % kRowAlignment) % kRowAlignment;
    const std::byte* pad = take(padding, "padding before the rows");
    for (std::size_t i = 0; pad != nullptr && i < padding; ++i) {
      if (pad[i] == std::byte{0}) continue;
      fault = Malformed{MalformedReason::reserved, "padding before the rows is not 0"};
      return;
    }
    if (const std::byte* first = take(count, "rows")) data = {first, count};
  }
};

template <class X>
DecodeResult read_body(const FrameHeader& header, std::span<const std::byte> bytes) {
  typename detail::LayoutOf<X>::type fixed;
  Reader reader{bytes, kHeaderBytes};
  const std::byte* first = reader.take(sizeof fixed, "the fixed part");
  if (first == nullptr) return *std::move(reader.fault);
  std::memcpy(&fixed, first, sizeof fixed);
  if (!detail::reserved_is_zero(fixed)) {
    return Malformed{MalformedReason::reserved, "reserved bytes of the fixed part are not 0"};
  }
  X x;
  detail::from_layout(fixed, x);
  detail::sections(reader, x, fixed);
  if (reader.fault) return *std::move(reader.fault);
  if (reader.at != bytes.size()) {
    return Malformed{MalformedReason::length,
                     std::to_string(bytes.size() - reader.at) + " bytes are left over"};
  }
  if (auto fault = detail::find_value_fault(x)) return *std::move(fault);
  return Frame{header, Body(std::move(x))};
}

}  // namespace

std::optional<Malformed> check_header(std::span<const std::byte> first_bytes,
                                      std::size_t frame_bytes, FrameHeader& out) {
  if (first_bytes.size() < kHeaderBytes) {
    return Malformed{MalformedReason::too_short,
                     std::to_string(first_bytes.size()) + " bytes are no header"};
  }
  FrameHeader header;
  std::memcpy(&header, first_bytes.data(), sizeof header);
  if (header.magic != kFrameMagic) return Malformed{MalformedReason::magic, "no frame of Troupe"};
  if (header.version < kProtocolVersionOldest || header.version > kProtocolVersion) {
    return version_fault(header.version);
  }
  if (header.kind == 0 || header.kind > kFrameKindMax) {
    return Malformed{MalformedReason::kind, "frame kind " + std::to_string(header.kind)};
  }
  if (frame_bytes > kFrameBytesMax) {
    return Malformed{MalformedReason::length, "a frame of " + std::to_string(frame_bytes) +
                                                  " bytes, and " + std::to_string(kFrameBytesMax) +
                                                  " are the most"};
  }
  if (header.total_bytes != frame_bytes) {
    return Malformed{MalformedReason::length, "the header says " +
                                                  std::to_string(header.total_bytes) + " bytes, " +
                                                  std::to_string(frame_bytes) + " came"};
  }
  if (header.lane >= kLanes) {
    return Malformed{MalformedReason::lane, "lane " + std::to_string(header.lane)};
  }
  if (header.reserved != 0) {
    return Malformed{MalformedReason::reserved, "reserved bytes of the header are not 0"};
  }
  out = header;
  return std::nullopt;
}

DecodeResult decode(std::span<const std::byte> bytes) {
  FrameHeader header;
  if (auto fault = check_header(bytes, bytes.size(), header)) return *std::move(fault);
  switch (static_cast<FrameKind>(header.kind)) {
#define TROUPE_READ(X) \
  case kKindOf<X>: return read_body<X>(header, bytes);
    TROUPE_EACH_BODY(TROUPE_READ)
#undef TROUPE_READ
  }
  return Malformed{MalformedReason::kind, "frame kind " + std::to_string(header.kind)};
}

std::variant<std::uint16_t, Malformed> choose_version(VersionRange ours, VersionRange theirs) {
  const std::uint16_t highest = ours.max < theirs.max ? ours.max : theirs.max;
  const std::uint16_t lowest = ours.min > theirs.min ? ours.min : theirs.min;
  if (lowest <= highest) return highest;
  return Malformed{MalformedReason::version,
                   "this process speaks protocol versions " + std::to_string(ours.min) + " to " +
                       std::to_string(ours.max) + ", the peer " + std::to_string(theirs.min) +
                       " to " + std::to_string(theirs.max) +
                       "; use builds at most one protocol version apart"};
}

}  // namespace troupe::proto
