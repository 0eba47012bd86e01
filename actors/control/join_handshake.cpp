// Proofs, their checks, and what is said when they fail.
#include "actors/control/join_handshake.hpp"

#include <sys/random.h>

#include <algorithm>
#include <cctype>
#include <cstring>

#include "core/check.hpp"
#include "core/first_bytes.hpp"
#include "core/hmac.hpp"

namespace troupe::actors {
namespace {

constexpr std::string_view kServiceLabel = "troupe join, service 1\n";
constexpr std::string_view kRouterLabel = "troupe join, router 1\n";

void append(std::vector<std::byte>& to, std::span<const std::byte> bytes) {
  to.insert(to.end(), bytes.begin(), bytes.end());
}

proto::PreambleMac proof(const JoinKey& key, std::string_view label,
                         std::span<const std::byte> said) {
  std::vector<std::byte> message;
  append(message, std::as_bytes(std::span(label)));
  append(message, said);
  const auto digest = hmac_sha256(key, message);
  proto::PreambleMac mac;
  static_assert(sizeof digest == sizeof mac);
  std::memcpy(mac.data(), digest.data(), mac.size());
  return mac;
}

/// About all that was said before and the verdict itself.
proto::PreambleMac router_proof(const JoinKey& key, std::vector<std::byte> said,
                                proto::Verdict verdict) {
  verdict.mac = {};
  append(said, proto::encode(verdict));
  return proof(key, kRouterLabel, said);
}

std::string version_text(proto::VersionRange ours, proto::VersionRange theirs) {
  const auto chosen = proto::choose_version(ours, theirs);
  const auto* fault = std::get_if<proto::Malformed>(&chosen);
  return fault != nullptr ? fault->text : std::string();
}

std::string cluster_text(PeerId who, const std::string& theirs, const std::string& ours) {
  return name_of(who) + " belongs to cluster '" + theirs + "', the router to '" + ours +
         "'; give both the same cluster.name, or the right cluster.routers";
}

constexpr const char* kTokenText =
    "the join token is not this cluster's; give all services the same text in "
    "cluster.join_token_file";
constexpr const char* kReleases = "; run releases that are at most one apart";
constexpr const char* kOtherPreamble =
    "the other end speaks another version of the preamble; run releases that are at most one apart";
constexpr const char* kFullText = "the router has as many connections as it takes; try again later";

bool known_role(std::uint8_t role) {
  return role >= static_cast<std::uint8_t>(proto::Role::gateway) &&
         role <= static_cast<std::uint8_t>(proto::Role::expert);
}

PeerId peer_of(const proto::Greeting& greeting) {
  return peer_id(static_cast<proto::Role>(greeting.role), greeting.index);
}

/// What a program that is none of ours may be.
std::string looks_like(std::span<const std::byte> bytes) {
  return troupe::looks_like({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

}  // namespace

JoinKey join_key_of(std::string_view token) {
  const auto digest = Sha256().add("troupe control key ").add(token).digest();
  JoinKey key;
  static_assert(sizeof digest == sizeof key);
  std::memcpy(key.data(), digest.data(), key.size());
  return key;
}

proto::PreambleNonce fresh_nonce() {
  proto::PreambleNonce nonce;
  const auto got = ::getrandom(nonce.data(), nonce.size(), 0);
  TROUPE_CHECK(got == static_cast<ssize_t>(nonce.size()), "the system gives no random bytes");
  return nonce;
}

std::string printable(std::string_view text) {
  std::string shown(text);
  for (char& c : shown)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '.' && c != '-' && c != '_')
      c = '?';
  return shown;
}

std::size_t DoorVisit::wanted() const {
  return (greeting_ ? proto::kProofBytes : proto::kGreetingBytes) - have_;
}

std::string DoorVisit::who() const { return greeting_ ? name_of(peer_of(*greeting_)) : ""; }

std::string DoorVisit::heard() const {
  if (said_nothing()) return "it said nothing";
  const std::size_t bytes = have_ + (greeting_ ? proto::kGreetingBytes : 0);
  return (greeting_ ? who() : std::string("it")) + " went silent after " + std::to_string(bytes) +
         " bytes of the preamble";
}

DoorVisit::Step DoorVisit::take(std::span<const std::byte> bytes, bool has_room) {
  TROUPE_CHECK(bytes.size() <= wanted(), "more bytes than were wanted");
  std::copy(bytes.begin(), bytes.end(), buffer_.begin() + static_cast<std::ptrdiff_t>(have_));
  have_ += bytes.size();
  if (!greeting_) return greeted();
  return wanted() == 0 ? answered(has_room) : Step{};
}

DoorVisit::Step DoorVisit::greeted() {
  Step step;
  auto fault = proto::look_at(seen());
  proto::Greeting greeting;
  if (fault == proto::PreambleFault::none) {
    if (wanted() > 0) return step;
    fault = proto::decode(seen(), greeting);
  }
  if (fault == proto::PreambleFault::foreign) {
    step.turned = Turned{"foreign", "it sent " + looks_like(seen()) +
                                        "; only services of Troupe have business here"};
    return step;
  }
  proto::Challenge challenge{own_.versions.min, own_.versions.max, 0, nonce_};
  const auto refuse = [&](Refusal refusal, std::string detail) {
    challenge.refusal = static_cast<std::uint8_t>(refusal);
    challenge.nonce = {};
    step.turned = Turned{std::string(to_string(refusal)), std::move(detail)};
  };
  const proto::VersionRange theirs{greeting.protocol_oldest, greeting.protocol_newest};
  if (fault == proto::PreambleFault::version)
    refuse(Refusal::version, kOtherPreamble);
  else if (fault != proto::PreambleFault::none || !known_role(greeting.role))
    refuse(Refusal::malformed, "a preamble that says what no service says");
  else if (const auto text = version_text(own_.versions, theirs); !text.empty())
    refuse(Refusal::version, name_of(peer_of(greeting)) + ": " + text + kReleases);
  const auto encoded = proto::encode(challenge);
  step.reply.assign(encoded.begin(), encoded.end());
  append(said_, seen());
  append(said_, encoded);
  if (fault == proto::PreambleFault::none && known_role(greeting.role)) greeting_ = greeting;
  have_ = 0;
  return step;
}

DoorVisit::Step DoorVisit::answered(bool has_room) {
  Step step;
  const auto expected = proof(own_.key, kServiceLabel, said_);
  proto::Verdict verdict;
  const auto refuse = [&](Refusal refusal, std::string detail) {
    verdict.refusal = static_cast<std::uint8_t>(refusal);
    step.turned = Turned{std::string(to_string(refusal)), std::move(detail)};
  };
  const bool knows = equal_in_constant_time(seen(), expected);
  append(said_, seen());
  have_ = 0;
  if (!knows) {
    const auto theirs = printable(proto::text_of(greeting_->cluster_name));
    refuse(Refusal::token, who() + ": " + kTokenText +
                               (greeting_->cluster_id == own_.cluster_id
                                    ? std::string()
                                    : ". It says that it is of cluster '" + theirs +
                                          "', this is '" + printable(own_.cluster_name) + "'"));
  } else {
    verdict.cluster_name = proto::preamble_name(own_.cluster_name);
    if (greeting_->cluster_id != own_.cluster_id)
      refuse(Refusal::cluster,
             cluster_text(peer_of(*greeting_), printable(proto::text_of(greeting_->cluster_name)),
                          printable(own_.cluster_name)));
    else if (!has_room)
      refuse(Refusal::full, who() + ": " + kFullText);
    else
      step.proved = true;
    verdict.mac = router_proof(own_.key, said_, verdict);
  }
  const auto encoded = proto::encode(verdict);
  step.reply.assign(encoded.begin(), encoded.end());
  return step;
}

JoinAttempt::JoinAttempt(const JoinIdentity& own, PeerId who, std::int64_t pid,
                         proto::PreambleNonce nonce)
    : own_(own), who_(who) {
  greeting_.protocol_oldest = own.versions.min;
  greeting_.protocol_newest = own.versions.max;
  greeting_.role = static_cast<std::uint8_t>(role_of(who));
  greeting_.index = index_of(who);
  greeting_.pid = static_cast<std::uint32_t>(pid);
  greeting_.cluster_id = own.cluster_id;
  greeting_.cluster_name = proto::preamble_name(own.cluster_name);
  greeting_.nonce = nonce;
}

std::array<std::byte, proto::kGreetingBytes> JoinAttempt::greeting() const {
  return proto::encode(greeting_);
}

std::variant<std::array<std::byte, proto::kProofBytes>, JoinFault> JoinAttempt::answer(
    std::span<const std::byte> bytes) {
  proto::Challenge challenge;
  const auto fault = proto::decode(bytes, challenge);
  if (fault == proto::PreambleFault::version)
    return JoinFault{Refusal::version, {Errc::unsupported, kOtherPreamble}};
  if (fault != proto::PreambleFault::none)
    return JoinFault{
        Refusal::none,
        {Errc::unavailable, "something else than a router listens there: it answered with " +
                                looks_like(bytes) + "; check cluster.routers"}};
  const auto refusal = static_cast<Refusal>(challenge.refusal);
  if (refusal == Refusal::version) {
    const auto text =
        version_text(own_.versions, {challenge.protocol_oldest, challenge.protocol_newest});
    return JoinFault{refusal, {Errc::unsupported, name_of(who_) + ": " + text + kReleases}};
  }
  if (refusal != Refusal::none)
    return JoinFault{Refusal::none,
                     {Errc::unavailable, "the router did not understand the preamble"}};
  append(said_, proto::encode(greeting_));
  append(said_, bytes);
  const proto::Proof made{proof(own_.key, kServiceLabel, said_)};
  const auto encoded = proto::encode(made);
  append(said_, encoded);
  return encoded;
}

std::optional<JoinFault> JoinAttempt::conclude(std::span<const std::byte> bytes) {
  proto::Verdict verdict;
  const auto fault = proto::decode(bytes, verdict);
  const auto refusal = static_cast<Refusal>(verdict.refusal);
  if (fault == proto::PreambleFault::none && refusal == Refusal::token)
    return JoinFault{refusal, {Errc::unavailable, name_of(who_) + ": " + kTokenText}};
  if (fault != proto::PreambleFault::none ||
      !equal_in_constant_time(verdict.mac, router_proof(own_.key, said_, verdict)))
    return JoinFault{Refusal::none,
                     {Errc::unavailable,
                      "what listens there does not know this cluster's join token; check "
                      "cluster.routers"}};
  if (refusal == Refusal::none) return std::nullopt;
  if (refusal == Refusal::cluster)
    return JoinFault{
        refusal,
        {Errc::unavailable, cluster_text(who_, printable(own_.cluster_name),
                                         printable(proto::text_of(verdict.cluster_name)))}};
  if (refusal == Refusal::full)
    return JoinFault{refusal, {Errc::overloaded, name_of(who_) + ": " + kFullText}};
  return JoinFault{Refusal::none, {Errc::unavailable, "the router refused for an unknown reason"}};
}

}  // namespace troupe::actors
