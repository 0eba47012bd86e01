// Reads and writes the messages of the preamble, byte by byte.
#include "proto/control/preamble.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace troupe::proto {
namespace {

/// The order of fields on the wire; writing and reading go through the same list.
template <class Fields, class Message>
void each_field(Fields& fields, Message& x) requires requires {
  x.pid;
}
{
  fields.magic(kPreambleMagic);
  fields(x.protocol_oldest);
  fields(x.protocol_newest);
  fields(x.role);
  fields.reserved(3);
  fields(x.index);
  fields(x.pid);
  fields(x.cluster_id);
  fields(x.cluster_name);
  fields(x.nonce);
}

template <class Fields, class Message>
void each_field(Fields& fields, Message& x) requires(
    requires { x.nonce; } && !requires { x.pid; }) {
  fields.magic(kPreambleMagic);
  fields(x.protocol_oldest);
  fields(x.protocol_newest);
  fields(x.refusal);
  fields.reserved(3);
  fields(x.nonce);
}

template <class Fields, class Message>
void each_field(Fields& fields, Message& x) requires(
    requires { x.mac; } && !requires { x.refusal; }) {
  fields(x.mac);
}

template <class Fields, class Message>
void each_field(Fields& fields, Message& x) requires(
    requires { x.mac; } && requires { x.refusal; }) {
  fields(x.refusal);
  fields.reserved(7);
  fields(x.cluster_name);
  fields(x.mac);
}

static_assert(std::endian::native == std::endian::little);

struct Writer {
  std::byte* to;

  void magic(const std::array<std::byte, 8>& value) { (*this)(value); }
  void reserved(std::size_t bytes) {
    std::memset(to, 0, bytes);
    to += bytes;
  }
  template <class Value>
  void operator()(const Value& value) {
    std::memcpy(to, &value, sizeof value);
    to += sizeof value;
  }
};

struct Reader {
  const std::byte* from;
  bool clean = true;  // reserved bytes are 0

  void magic(const std::array<std::byte, 8>& value) { from += value.size(); }
  void reserved(std::size_t bytes) {
    clean &= std::all_of(from, from + bytes, [](std::byte byte) { return byte == std::byte{0}; });
    from += bytes;
  }
  template <class Value>
  void operator()(Value& value) {
    std::memcpy(&value, from, sizeof value);
    from += sizeof value;
  }
};

template <std::size_t kBytes, class Message>
std::array<std::byte, kBytes> written(const Message& message) {
  std::array<std::byte, kBytes> bytes{};
  Writer writer{bytes.data()};
  each_field(writer, message);
  return bytes;
}

template <std::size_t kBytes, class Message>
PreambleFault read(std::span<const std::byte> bytes, Message& out) {
  if (bytes.size() != kBytes) return PreambleFault::layout;
  Message message;
  Reader reader{bytes.data()};
  each_field(reader, message);
  if (!reader.clean) return PreambleFault::layout;
  out = message;
  return PreambleFault::none;
}

}  // namespace

std::array<std::byte, kGreetingBytes> encode(const Greeting& greeting) {
  return written<kGreetingBytes>(greeting);
}
std::array<std::byte, kChallengeBytes> encode(const Challenge& challenge) {
  return written<kChallengeBytes>(challenge);
}
std::array<std::byte, kProofBytes> encode(const Proof& proof) {
  return written<kProofBytes>(proof);
}
std::array<std::byte, kVerdictBytes> encode(const Verdict& verdict) {
  return written<kVerdictBytes>(verdict);
}

PreambleFault look_at(std::span<const std::byte> first_bytes) {
  const std::size_t seen = std::min(first_bytes.size(), kPreambleMagic.size());
  constexpr std::size_t kVersionAt = kPreambleMagic.size() - 1;
  for (std::size_t i = 0; i < seen; ++i)
    if (first_bytes[i] != kPreambleMagic[i])
      return i == kVersionAt ? PreambleFault::version : PreambleFault::foreign;
  return PreambleFault::none;
}

PreambleFault decode(std::span<const std::byte> bytes, Greeting& out) {
  if (const auto fault = look_at(bytes); fault != PreambleFault::none) return fault;
  return read<kGreetingBytes>(bytes, out);
}
PreambleFault decode(std::span<const std::byte> bytes, Challenge& out) {
  if (const auto fault = look_at(bytes); fault != PreambleFault::none) return fault;
  return read<kChallengeBytes>(bytes, out);
}
PreambleFault decode(std::span<const std::byte> bytes, Proof& out) {
  return read<kProofBytes>(bytes, out);
}
PreambleFault decode(std::span<const std::byte> bytes, Verdict& out) {
  return read<kVerdictBytes>(bytes, out);
}

PreambleName preamble_name(std::string_view text) {
  PreambleName name{};
  std::copy_n(text.data(), std::min(text.size(), name.size()), name.data());
  return name;
}

std::string_view text_of(const PreambleName& name) {
  const auto* end = std::find(name.begin(), name.end(), '\0');
  return {name.data(), static_cast<std::size_t>(end - name.begin())};
}

}  // namespace troupe::proto
