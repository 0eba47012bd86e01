// Both sides of the preamble as plain values: bytes in, bytes out. No sockets, no clock, no CAF.
//
// The service proves itself first, so that a router tells a stranger nothing that a guessed token
// could be tried on; the router proves itself before the service trusts it. Nonces of both are in
// every proof: a recording of one connection opens no other.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "actors/membership.hpp"
#include "proto/control/preamble.hpp"
#include "proto/frames/codec.hpp"

namespace troupe::actors {

using JoinKey = std::array<std::byte, 32>;
/// SHA-256("troupe control key " + text): the proofs' key. Unlike the hash in announcements and
/// hellos it never travels.
JoinKey join_key_of(std::string_view token);

/// From the system's source of random bytes.
proto::PreambleNonce fresh_nonce();

/// What one process brings to a preamble.
struct JoinIdentity {
  proto::VersionRange versions;
  std::uint64_t cluster_id = 0;
  std::string cluster_name;
  JoinKey key{};
};

/// Why a visitor is turned away: a word for decisions and logs, a sentence for people.
struct Turned {
  std::string reason;  // "foreign", "silent", or as to_string(Refusal)
  std::string detail;
};

/// The router's side of one connection. *Threading*: one owner.
class DoorVisit {
 public:
  DoorVisit(const JoinIdentity& own, proto::PreambleNonce nonce) : own_(own), nonce_(nonce) {}

  struct Step {
    std::vector<std::byte> reply;  // to be sent, whatever else
    bool proved = false;           // the connection is the control plane's now
    std::optional<Turned> turned;  // to be closed
  };
  /// How many bytes may be read now: never one that belongs to what comes after the preamble.
  std::size_t wanted() const;
  /// At most wanted() bytes. `has_room`: whether one more may be let in.
  Step take(std::span<const std::byte> bytes, bool has_room);
  /// How far it has come, for whoever has to close it: "it said nothing".
  std::string heard() const;
  bool said_nothing() const { return !greeting_ && have_ == 0; }
  /// "expert 2" and its process number, as it says itself; empty before.
  std::string who() const;
  std::uint32_t pid() const { return greeting_ ? greeting_->pid : 0; }

 private:
  Step greeted();
  Step answered(bool has_room);
  std::span<const std::byte> seen() const { return std::span(buffer_).first(have_); }

  const JoinIdentity& own_;
  proto::PreambleNonce nonce_;
  std::array<std::byte, proto::kGreetingBytes> buffer_{};
  std::size_t have_ = 0;
  std::optional<proto::Greeting> greeting_;
  std::vector<std::byte> said_;  // Greeting, Challenge: what the proofs are about
};

/// Why a service could not join at a router.
struct JoinFault {
  Refusal refusal = Refusal::none;  // none: no router of this cluster answered
  Error error{Errc::ok, {}};
};

/// The service's side of one connection. *Threading*: one owner.
class JoinAttempt {
 public:
  JoinAttempt(const JoinIdentity& own, PeerId who, std::int64_t pid, proto::PreambleNonce nonce);

  std::array<std::byte, proto::kGreetingBytes> greeting() const;
  /// The Proof to send for a router's Challenge.
  std::variant<std::array<std::byte, proto::kProofBytes>, JoinFault> answer(
      std::span<const std::byte> challenge);
  /// Nothing when the router has let us in and is one.
  std::optional<JoinFault> conclude(std::span<const std::byte> verdict);

 private:
  const JoinIdentity& own_;
  PeerId who_;
  proto::Greeting greeting_;
  std::vector<std::byte> said_;
};

/// Only letters, digits and ".-_" of what came over a wire; '?' for the rest.
std::string printable(std::string_view text);

}  // namespace troupe::actors
