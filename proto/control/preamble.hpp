// What is said on a connection to a control port before any byte of the control plane: four
// messages of fixed size, in turn, by which both ends prove that they know the join token.
//
//   service  Greeting    who I am, which versions I speak, a nonce
//   router   Challenge   which versions I speak, a nonce; or: not with this version
//   service  Proof       HMAC over both messages
//   router   Verdict     HMAC over all three; or why not
//
// Little-endian, no padding. How proofs are made: actors/control/join_handshake.hpp. Why:
// docs/adr/0003-control-port-proof.md.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace troupe::proto {

/// First bytes of Greeting and Challenge. The last one is the version of these four messages.
inline constexpr std::array<std::byte, 8> kPreambleMagic{
    std::byte{'T'}, std::byte{'R'}, std::byte{'P'}, std::byte{'J'},
    std::byte{'O'}, std::byte{'I'}, std::byte{'N'}, std::byte{1}};

inline constexpr std::size_t kPreambleNonceBytes = 32;
inline constexpr std::size_t kPreambleMacBytes = 32;
inline constexpr std::size_t kPreambleNameBytes = 64;
using PreambleNonce = std::array<std::byte, kPreambleNonceBytes>;
using PreambleMac = std::array<std::byte, kPreambleMacBytes>;
/// A name for people, cut or filled with zeros.
using PreambleName = std::array<char, kPreambleNameBytes>;

struct Greeting {
  std::uint16_t protocol_oldest = 0;
  std::uint16_t protocol_newest = 0;
  std::uint8_t role = 0;  // proto::Role
  std::uint32_t index = 0;
  std::uint32_t pid = 0;
  std::uint64_t cluster_id = 0;
  PreambleName cluster_name{};  // as its owner spells it; only the id is compared
  PreambleNonce nonce{};
};
inline constexpr std::size_t kGreetingBytes = 128;

struct Challenge {
  std::uint16_t protocol_oldest = 0;
  std::uint16_t protocol_newest = 0;
  std::uint8_t refusal = 0;  // actors::Refusal; 0: go on. Anything else is the router's last word
  PreambleNonce nonce{};
};
inline constexpr std::size_t kChallengeBytes = 48;

struct Proof {
  PreambleMac mac{};
};
inline constexpr std::size_t kProofBytes = 32;

struct Verdict {
  std::uint8_t refusal = 0;     // 0: the connection is the control plane's from the next byte on
  PreambleName cluster_name{};  // the router's; zeros unless the service has proved itself
  PreambleMac mac{};            // likewise
};
inline constexpr std::size_t kVerdictBytes = 104;

std::array<std::byte, kGreetingBytes> encode(const Greeting& greeting);
std::array<std::byte, kChallengeBytes> encode(const Challenge& challenge);
std::array<std::byte, kProofBytes> encode(const Proof& proof);
std::array<std::byte, kVerdictBytes> encode(const Verdict& verdict);

enum class PreambleFault : std::uint8_t {
  none,
  foreign,  // does not begin as a preamble does
  version,  // a preamble of another version
  layout,   // of this version, but reserved bytes are not 0
};

/// What is wrong with the first bytes of a Greeting or Challenge, few as they may be; `none` while
/// they may still become one.
PreambleFault look_at(std::span<const std::byte> first_bytes);

/// `out` is set when there is no fault. `bytes` must have the message's size.
PreambleFault decode(std::span<const std::byte> bytes, Greeting& out);
PreambleFault decode(std::span<const std::byte> bytes, Challenge& out);
PreambleFault decode(std::span<const std::byte> bytes, Proof& out);
PreambleFault decode(std::span<const std::byte> bytes, Verdict& out);

PreambleName preamble_name(std::string_view text);
/// Up to the first zero. May hold any bytes: for a log only with everything unprintable replaced.
std::string_view text_of(const PreambleName& name);

}  // namespace troupe::proto
