// Any bytes at the control port, and any that a service hears there: nobody who does not know the
// join token gets in, and neither side trusts a preamble of which a byte was changed on its way.
#include <algorithm>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "actors/control/join_handshake.hpp"
#include "core/check.hpp"
#include "tests/fuzz/fuzz_target.hpp"

using namespace troupe;
using namespace troupe::actors;

namespace {

using Bytes = std::vector<std::byte>;

/// The input, handed out in small parts; zeros once it is spent.
class Source {
 public:
  Source(const std::uint8_t* data, std::size_t size)
      : bytes_(std::as_bytes(std::span(data, size))) {}

  template <class T>
  T number() {
    T value{};
    const std::size_t taken = std::min(sizeof value, bytes_.size());
    if (taken > 0) std::memcpy(&value, bytes_.data(), taken);
    bytes_ = bytes_.subspan(taken);
    return value;
  }
  /// Changes one byte of a message, or none. True: it is another message now.
  template <class Message>
  bool change(Message& message) {
    const auto place = number<std::uint8_t>() % message.size();
    const auto mask = number<std::byte>();
    message[place] ^= mask;
    return mask != std::byte{0};
  }

 private:
  std::span<const std::byte> bytes_;
};

const JoinIdentity& router() {
  static const JoinIdentity identity{{}, 7, "cluster-7", join_key_of("open sesame")};
  return identity;
}

struct Heard {
  Bytes replies;
  std::string reason;  // of being turned away

  friend bool operator==(const Heard&, const Heard&) = default;
};

Heard knock_with(std::span<const std::byte> bytes, std::size_t piece) {
  DoorVisit visit(router(), {});
  Heard heard;
  while (!bytes.empty() && heard.reason.empty()) {
    TROUPE_CHECK(visit.wanted() > 0, "a visitor of whom nothing is wanted");
    TROUPE_CHECK(!visit.heard().empty(), "silent about a silent visitor");
    const auto next = bytes.first(std::min({piece, visit.wanted(), bytes.size()}));
    const auto step = visit.take(next, /*has_room=*/true);
    TROUPE_CHECK(!step.proved, "a stranger was let in");
    heard.replies.insert(heard.replies.end(), step.reply.begin(), step.reply.end());
    if (step.turned) {
      heard.reason = step.turned->reason;
      TROUPE_CHECK(!heard.reason.empty() && !step.turned->detail.empty(), "turned without a word");
    }
    bytes = bytes.subspan(next.size());
  }
  return heard;
}

/// A service that knows the token and says of itself whatever the input does; somebody between the
/// two changes bytes.
void join_as(Source source) {
  JoinIdentity own = router();
  own.versions.min = static_cast<std::uint16_t>(own.versions.min + source.number<std::int8_t>());
  own.versions.max = static_cast<std::uint16_t>(own.versions.max + source.number<std::int8_t>());
  own.cluster_id += source.number<std::uint8_t>();
  own.cluster_name += static_cast<char>(source.number<std::uint8_t>());
  const auto role = static_cast<proto::Role>(source.number<std::uint8_t>());
  const PeerId who = peer_id(role, source.number<std::uint32_t>());
  const bool has_room = source.number<std::uint8_t>() % 4 != 3;
  JoinAttempt attempt(own, who, source.number<std::uint16_t>(), {});
  DoorVisit visit(router(), {});

  auto greeting = attempt.greeting();
  bool changed = source.change(greeting);
  const auto greeted = visit.take(greeting, has_room);
  if (greeted.reply.size() != proto::kChallengeBytes) return;
  auto challenge = greeted.reply;
  changed = source.change(challenge) || changed;
  auto answer = attempt.answer(challenge);
  if (const auto* fault = std::get_if<JoinFault>(&answer)) {
    TROUPE_CHECK(!fault->error.detail.empty(), "a fault without a word");
    return;
  }
  if (greeted.turned) return;  // it was told to go on by whoever changed the router's words
  auto& proof = std::get<0>(answer);
  changed = source.change(proof) || changed;
  const auto answered = visit.take(proof, has_room);
  TROUPE_CHECK(answered.proved != answered.turned.has_value(), "neither in nor out");
  TROUPE_CHECK(!answered.proved || !changed, "let in after its words were changed");
  auto verdict = answered.reply;
  changed = source.change(verdict) || changed;
  const auto fault = attempt.conclude(verdict);
  TROUPE_CHECK(fault || (answered.proved && !changed), "a router was trusted that is none");
  TROUPE_CHECK(!fault || !fault->error.detail.empty(), "a fault without a word");
}

/// A router that does not know the token.
void hear(std::span<const std::byte> bytes) {
  JoinAttempt attempt(router(), peer_id(proto::Role::expert, 3), 4711, {});
  Bytes said(bytes.begin(), bytes.end());
  said.resize(proto::kChallengeBytes + proto::kVerdictBytes);
  const auto words = std::span<const std::byte>(said);
  const auto answer = attempt.answer(words.first(proto::kChallengeBytes));
  if (std::holds_alternative<JoinFault>(answer)) return;
  const auto fault = attempt.conclude(words.subspan(proto::kChallengeBytes));
  TROUPE_CHECK(fault && !fault->error.detail.empty(), "a router was trusted that is none");
}

template <class Message>
std::string text_of(const Message& message) {
  const auto bytes = proto::encode(message);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const Heard at_once = knock_with(bytes, size + 1);
  TROUPE_CHECK(knock_with(bytes, 1) == at_once, at_once.reason);
  join_as(Source(data, size));
  hear(bytes);
  return 0;
}

std::vector<std::string> fuzz_seeds() {
  const JoinAttempt attempt(router(), peer_id(proto::Role::expert, 3), 4711, {});
  const auto greeting = attempt.greeting();
  const std::string greeted(reinterpret_cast<const char*>(greeting.data()), greeting.size());
  proto::Challenge challenge{router().versions.min, router().versions.max, 0, {}};
  const std::string go_on = text_of(challenge) + text_of(proto::Verdict{});
  challenge.refusal = static_cast<std::uint8_t>(Refusal::version);
  const std::string expert("\0\0\0\0\4", 5);
  return {greeted + text_of(proto::Proof{}),
          go_on,
          text_of(challenge),
          expert + std::string(15, '\0'),
          expert + std::string(12, '\0') + "\1\1\1",
          "GET / HTTP/1.1\r\n\r\n"};
}
