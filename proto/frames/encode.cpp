// Frames to bytes.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "proto/frames/codec.hpp"
#include "proto/frames/each_body.hpp"
#include "proto/frames/sections.hpp"

namespace troupe::proto {
namespace {

constexpr std::size_t round_up(std::size_t bytes) {
  return (bytes + kRowAlignment - 1) / kRowAlignment * kRowAlignment;
}

/// Counts bytes: of the part before the rows, and of the rows.
struct Measure {
  std::size_t head;
  std::size_t tail = 0;

  template <class T>
  void array(const PackedArray<T>& values, std::size_t, std::size_t, const char*) {
    head += values.size() * sizeof(T);
  }
  void text(std::string_view text, std::size_t, std::size_t, const char*) { head += text.size(); }
  void detail(std::string_view text, std::size_t) { head += clip_detail(text).size(); }
  void bound(std::size_t, std::size_t, const char*) {}
  void rows(const RowBlock& x, std::uint32_t, std::uint32_t) {
    data({}, row_block_bytes(x.rows, x.width, x.dtype));
  }
  void data(std::span<const std::byte>, std::size_t bytes) {
    head = round_up(head);
    tail = bytes;
  }
};

template <class X>
Measure measure(const X& x) {
  const auto fixed = detail::to_layout(x);
  Measure measured{kHeaderBytes + sizeof fixed};
  detail::sections(measured, x, fixed);
  return measured;
}

/// Compares counts with their limits.
struct Checker {
  bool rows_present;
  std::optional<Malformed> fault = {};

  void bound(std::size_t count, std::size_t max, const char* what) {
    if (count <= max || fault) return;
    fault = Malformed{MalformedReason::bound, std::to_string(count) + " " + what + ", at most " +
                                                  std::to_string(max) + " are allowed"};
  }
  template <class T>
  void array(const PackedArray<T>& values, std::size_t, std::size_t max, const char* what) {
    bound(values.size(), max, what);
  }
  void text(std::string_view text, std::size_t, std::size_t max, const char* what) {
    bound(text.size(), max, what);
  }
  void detail(std::string_view, std::size_t) {}
  void rows(const RowBlock& x, std::uint32_t rows_min, std::uint32_t rows_max) {
    if (!fault) fault = detail::find_row_block_fault(x, rows_min, rows_max);
    data(x.data, row_block_bytes(x.rows, x.width, x.dtype));
  }
  void data(std::span<const std::byte> data, std::size_t bytes) {
    if (fault || !rows_present || data.size() == bytes) return;
    fault = Malformed{MalformedReason::length, std::to_string(data.size()) + " bytes of rows, " +
                                                   std::to_string(bytes) + " announced"};
  }
};

template <class X>
std::optional<Malformed> find_any_fault(const X& x, bool rows_present) {
  Checker checker{rows_present};
  detail::sections(checker, x, detail::to_layout(x));
  if (checker.fault) return checker.fault;
  const Measure measured = measure(x);
  checker.bound(measured.head + measured.tail, kFrameBytesMax, "bytes of one frame");
  if (checker.fault) return checker.fault;
  return detail::find_value_fault(x);
}

/// Copies; the caller has made sure that everything fits.
struct Writer {
  std::byte* out;
  std::size_t at = 0;
  bool with_rows = true;

  void put(const void* bytes, std::size_t count) {
    if (count > 0) std::memcpy(out + at, bytes, count);
    at += count;
  }
  template <class T>
  void array(const PackedArray<T>& values, std::size_t, std::size_t, const char*) {
    put(values.bytes().data(), values.bytes().size());
  }
  void text(std::string_view text, std::size_t, std::size_t, const char*) {
    put(text.data(), text.size());
  }
  void detail(std::string_view text, std::size_t bytes) { put(text.data(), bytes); }
  void bound(std::size_t, std::size_t, const char*) {}
  void rows(const RowBlock& x, std::uint32_t, std::uint32_t) { data(x.data, 0); }
  void data(std::span<const std::byte> data, std::size_t) {
    const std::size_t padded = round_up(at);
    std::memset(out + at, 0, padded - at);
    at = padded;
    if (with_rows) put(data.data(), data.size());
  }
};

[[noreturn]] void refuse(FrameKind kind, const std::string& why) {
  const std::string_view name = to_string(kind);
  std::fprintf(stderr, "encode of a %.*s frame: %s\n", static_cast<int>(name.size()), name.data(),
               why.c_str());
  std::abort();
}

template <class X>
void write(const FrameHeader& header, const X& x, std::span<std::byte> out, bool with_rows) {
  const auto fault = find_any_fault(x, with_rows);
  if (fault) refuse(kKindOf<X>, fault->text);
  const Measure measured = measure(x);
  const std::size_t bytes = measured.head + (with_rows ? measured.tail : 0);
  if (out.size() != bytes) {
    refuse(kKindOf<X>,
           std::to_string(out.size()) + " bytes of room, " + std::to_string(bytes) + " are needed");
  }
  FrameHeader full = header;
  full.magic = kFrameMagic;
  full.kind = static_cast<std::uint16_t>(kKindOf<X>);
  full.total_bytes = static_cast<std::uint32_t>(measured.head + measured.tail);
  const auto fixed = detail::to_layout(x);
  Writer writer{out.data()};
  writer.with_rows = with_rows;
  writer.put(&full, sizeof full);
  writer.put(&fixed, sizeof fixed);
  detail::sections(writer, x, fixed);
}

}  // namespace

template <class X>
std::optional<Malformed> find_fault(const X& x) {
  return find_any_fault(x, true);
}
template <class X>
std::size_t encoded_bytes(const X& x) {
  const Measure measured = measure(x);
  return measured.head + measured.tail;
}
template <class X>
std::size_t head_bytes(const X& x) {
  return measure(x).head;
}
template <class X>
void encode(const FrameHeader& header, const X& x, std::span<std::byte> out) {
  write(header, x, out, true);
}
template <class X>
void encode_head(const FrameHeader& header, const X& x, std::span<std::byte> out) {
  write(header, x, out, false);
}

#define TROUPE_INSTANTIATE(X)                                                  \
  template std::optional<Malformed> find_fault<X>(const X&);                   \
  template std::size_t encoded_bytes<X>(const X&);                             \
  template std::size_t head_bytes<X>(const X&);                                \
  template void encode<X>(const FrameHeader&, const X&, std::span<std::byte>); \
  template void encode_head<X>(const FrameHeader&, const X&, std::span<std::byte>);
TROUPE_EACH_BODY(TROUPE_INSTANTIATE)
#undef TROUPE_INSTANTIATE

}  // namespace troupe::proto
