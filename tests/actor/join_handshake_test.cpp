// The proof of the join token: who knows it gets in, nobody else does, and both sides say why.
#include "actors/control/join_handshake.hpp"

#include <gtest/gtest.h>

#include <random>

namespace troupe::actors {
namespace {

using Bytes = std::vector<std::byte>;

constexpr PeerId kExpert = peer_id(proto::Role::expert, 3);

JoinIdentity identity(const std::string& token = "open sesame", std::uint64_t cluster = 7) {
  return {{}, cluster, "cluster-" + std::to_string(cluster), join_key_of(token)};
}

template <class Array>
Bytes bytes_of(const Array& array) {
  return Bytes(array.begin(), array.end());
}

/// One preamble with both ends in hand; every message may be changed on its way.
struct Talk {
  explicit Talk(JoinIdentity service_side = identity(), JoinIdentity router_side = identity())
      : service(std::move(service_side)),
        router(std::move(router_side)),
        visit(router, fresh_nonce()),
        attempt(service, kExpert, 4711, fresh_nonce()),
        greeting(bytes_of(attempt.greeting())) {}

  /// Up to the Proof; false: it ended before.
  bool to_proof() {
    greeted = visit.take(greeting, true);
    if (greeted.turned) return false;
    challenge = greeted.reply;
    return answer();
  }
  bool answer() {
    const auto answered = attempt.answer(challenge);
    if (const auto* refused = std::get_if<JoinFault>(&answered)) {
      fault = *refused;
      return false;
    }
    proof = bytes_of(std::get<0>(answered));
    return true;
  }
  void conclude(bool has_room = true) {
    answered = visit.take(proof, has_room);
    verdict = answered.reply;
    fault = attempt.conclude(verdict);
  }

  JoinIdentity service, router;
  DoorVisit visit;
  JoinAttempt attempt;
  Bytes greeting, challenge, proof, verdict;
  DoorVisit::Step greeted, answered;
  std::optional<JoinFault> fault;
};

TEST(JoinHandshake, LetsInWhoKnowsTheToken) {
  Talk talk;
  ASSERT_TRUE(talk.to_proof());
  talk.conclude();
  EXPECT_TRUE(talk.answered.proved);
  EXPECT_FALSE(talk.answered.turned);
  EXPECT_FALSE(talk.fault);
  EXPECT_EQ(talk.visit.who(), "expert 3");
  EXPECT_EQ(talk.visit.pid(), 4711u);
}

TEST(JoinHandshake, TellsAWrongTokenNothingButThat) {
  Talk talk(identity("guess", 8));
  ASSERT_TRUE(talk.to_proof());
  talk.conclude();
  EXPECT_FALSE(talk.answered.proved);
  ASSERT_TRUE(talk.answered.turned);
  EXPECT_EQ(talk.answered.turned->reason, "token");
  for (const char* part : {"expert 3", "join token", "cluster-8", "cluster-7"})
    EXPECT_NE(talk.answered.turned->detail.find(part), std::string::npos) << part;
  proto::Verdict verdict;
  ASSERT_EQ(proto::decode(talk.verdict, verdict), proto::PreambleFault::none);
  EXPECT_EQ(proto::text_of(verdict.cluster_name), "");
  EXPECT_EQ(verdict.mac, proto::PreambleMac{});
  ASSERT_TRUE(talk.fault);
  EXPECT_EQ(talk.fault->refusal, Refusal::token);
  EXPECT_NE(talk.fault->error.detail.find("join_token_file"), std::string::npos);
}

TEST(JoinHandshake, NamesBothClusters) {
  Talk talk(identity("open sesame", 8));
  ASSERT_TRUE(talk.to_proof());
  talk.conclude();
  ASSERT_TRUE(talk.answered.turned && talk.fault);
  EXPECT_EQ(talk.answered.turned->reason, "cluster");
  EXPECT_EQ(talk.fault->refusal, Refusal::cluster);
  for (const char* part : {"expert 3", "cluster-7", "cluster-8", "cluster.name"}) {
    EXPECT_NE(talk.answered.turned->detail.find(part), std::string::npos) << part;
    EXPECT_NE(talk.fault->error.detail.find(part), std::string::npos) << part;
  }
}

TEST(JoinHandshake, NamesBothProtocolVersions) {
  auto later = identity();
  later.versions = {7, 9};
  Talk talk(later);
  EXPECT_FALSE(talk.to_proof());
  ASSERT_TRUE(talk.greeted.turned);
  EXPECT_EQ(talk.greeted.turned->reason, "version");
  talk.challenge = talk.greeted.reply;
  EXPECT_FALSE(talk.answer());
  ASSERT_TRUE(talk.fault);
  EXPECT_EQ(talk.fault->refusal, Refusal::version);
  for (const auto& text : {talk.greeted.turned->detail, talk.fault->error.detail})
    EXPECT_NE(text.find("7 to 9"), std::string::npos) << text;
}

TEST(JoinHandshake, NamesAnotherVersionOfThePreambleItself) {
  Talk talk;
  talk.greeting[7] = std::byte{2};
  EXPECT_FALSE(talk.to_proof());
  ASSERT_TRUE(talk.greeted.turned);
  EXPECT_EQ(talk.greeted.turned->reason, "version");
  talk.challenge = talk.greeted.reply;
  talk.challenge[7] = std::byte{2};
  EXPECT_FALSE(talk.answer());
  EXPECT_EQ(talk.fault->refusal, Refusal::version);
}

TEST(JoinHandshake, SaysThatItIsFullOnlyToWhoKnowsTheToken) {
  Talk talk;
  ASSERT_TRUE(talk.to_proof());
  talk.conclude(false);
  EXPECT_FALSE(talk.answered.proved);
  EXPECT_EQ(talk.answered.turned->reason, "full");
  EXPECT_EQ(talk.fault->refusal, Refusal::full);
  EXPECT_TRUE(may_pass(talk.fault->refusal));
  Talk stranger(identity("guess"));
  ASSERT_TRUE(stranger.to_proof());
  stranger.conclude(false);
  EXPECT_EQ(stranger.answered.turned->reason, "token");
}

TEST(JoinHandshake, ARecordingOpensNoOtherConnection) {
  Talk recorded;
  ASSERT_TRUE(recorded.to_proof());
  recorded.conclude();
  ASSERT_TRUE(recorded.answered.proved);
  DoorVisit again(recorded.router, fresh_nonce());
  EXPECT_FALSE(again.take(recorded.greeting, true).turned);
  const auto step = again.take(recorded.proof, true);
  EXPECT_FALSE(step.proved);
  EXPECT_EQ(step.turned->reason, "token");
}

TEST(JoinHandshake, ARouterHasToKnowTheTokenToo) {
  Talk talk(identity(), identity("another"));
  ASSERT_TRUE(talk.to_proof());
  for (const auto& mac : {proto::PreambleMac{}, [&] {
                            proto::PreambleMac echo;
                            std::copy(talk.proof.begin(), talk.proof.end(), echo.begin());
                            return echo;
                          }()}) {
    const proto::Verdict forged{0, proto::preamble_name("cluster-7"), mac};
    const auto fault = talk.attempt.conclude(proto::encode(forged));
    ASSERT_TRUE(fault);
    EXPECT_EQ(fault->refusal, Refusal::none);
    EXPECT_NE(fault->error.detail.find("join token"), std::string::npos);
  }
}

TEST(JoinHandshake, TheNoncesAreFresh) {
  EXPECT_NE(fresh_nonce(), fresh_nonce());
  EXPECT_NE(join_key_of(""), join_key_of(" "));
}

TEST(JoinHandshake, TakesBytesOneByOneAndNoneTooMany) {
  Talk talk;
  EXPECT_TRUE(talk.visit.said_nothing());
  DoorVisit::Step step;
  for (std::size_t i = 0; i < talk.greeting.size(); ++i) {
    ASSERT_EQ(talk.visit.wanted(), talk.greeting.size() - i);
    step = talk.visit.take(std::span(talk.greeting).subspan(i, 1), true);
    EXPECT_EQ(step.reply.empty(), i + 1 < talk.greeting.size());
  }
  EXPECT_FALSE(talk.visit.said_nothing());
  talk.challenge = step.reply;
  ASSERT_TRUE(talk.answer());
  for (std::size_t i = 0; i < talk.proof.size(); ++i) {
    ASSERT_EQ(talk.visit.wanted(), talk.proof.size() - i);
    step = talk.visit.take(std::span(talk.proof).subspan(i, 1), true);
  }
  EXPECT_TRUE(step.proved);
}

/// Whether both ends are content when bit `bit` of the message that `pick` names is flipped.
bool passes_with_flipped(int message, std::size_t bit) {
  Talk talk;
  const auto flip = [&](int number, Bytes& bytes) {
    if (number == message) bytes.at(bit / 8) ^= static_cast<std::byte>(1 << bit % 8);
  };
  flip(0, talk.greeting);
  talk.greeted = talk.visit.take(talk.greeting, true);
  if (talk.greeted.turned) return false;
  talk.challenge = talk.greeted.reply;
  flip(1, talk.challenge);
  if (!talk.answer()) return false;
  flip(2, talk.proof);
  talk.answered = talk.visit.take(talk.proof, true);
  if (!talk.answered.proved) return false;
  talk.verdict = talk.answered.reply;
  flip(3, talk.verdict);
  return !talk.attempt.conclude(talk.verdict);
}

TEST(JoinHandshake, NoticesEveryBitThatChangesOnItsWay) {
  const std::size_t sizes[] = {proto::kGreetingBytes, proto::kChallengeBytes, proto::kProofBytes,
                               proto::kVerdictBytes};
  for (int message = 0; message < 4; ++message)
    for (std::size_t bit = 0; bit < 8 * sizes[message]; ++bit)
      EXPECT_FALSE(passes_with_flipped(message, bit)) << "message " << message << " bit " << bit;
}

TEST(JoinHandshake, NoNoiseGetsIn) {
  constexpr unsigned kSeed = 20251128;
  std::mt19937 random(kSeed);
  const auto own = identity();
  for (int round = 0; round < 5000; ++round) {
    DoorVisit visit(own, fresh_nonce());
    Talk talk;
    for (int piece = 0; piece < 40; ++piece) {
      Bytes bytes(1 + random() % visit.wanted());
      for (auto& byte : bytes) byte = static_cast<std::byte>(random());
      if (piece == 0 && round % 2 == 0) bytes = talk.greeting;  // a real one first
      const auto step = visit.take(bytes, true);
      ASSERT_FALSE(step.proved) << "seed " << kSeed << " round " << round;
      if (!step.turned) continue;
      EXPECT_FALSE(step.turned->detail.empty());
      break;
    }
    (void)talk.attempt.answer(Bytes(random() % 200, static_cast<std::byte>(random())));
    EXPECT_TRUE(talk.attempt.conclude(Bytes(random() % 200, static_cast<std::byte>(random()))));
  }
}

TEST(JoinHandshake, SaysWhatAForeignProgramLooksLike) {
  const auto own = identity();
  const auto text_for = [&](std::string_view said) {
    DoorVisit visit(own, fresh_nonce());
    const auto step = visit.take(std::as_bytes(std::span(said)), true);
    EXPECT_TRUE(step.reply.empty());
    EXPECT_EQ(step.turned->reason, "foreign");
    return step.turned->detail;
  };
  EXPECT_NE(text_for("GET / HTTP/1.1\r\n").find("an HTTP request"), std::string::npos);
  EXPECT_NE(text_for("PRI * HTTP/2.0\r\n").find("hello of HTTP/2"), std::string::npos);
  EXPECT_NE(text_for("\x16\x03\x01").find("a TLS hello"), std::string::npos);
  EXPECT_NE(text_for("SSH-2.0-x").find("an SSH hello"), std::string::npos);
  EXPECT_NE(text_for({"\x01\0\0\0", 4}).find("CAF's own protocol"), std::string::npos);
  EXPECT_NE(text_for("\xff\n").find("bytes ff0a"), std::string::npos);
}

TEST(JoinHandshake, SaysHowFarASilentOneCame) {
  Talk talk;
  EXPECT_NE(talk.visit.heard().find("said nothing"), std::string::npos);
  (void)talk.visit.take(std::span(talk.greeting).first(20), true);
  EXPECT_NE(talk.visit.heard().find("after 20 bytes"), std::string::npos);
  (void)talk.visit.take(std::span(talk.greeting).subspan(20), true);
  EXPECT_NE(talk.visit.heard().find("expert 3 went silent after 128"), std::string::npos);
}

TEST(JoinHandshake, RefusesARoleThatDoesNotExist) {
  Talk talk;
  talk.greeting[12] = std::byte{200};
  EXPECT_FALSE(talk.to_proof());
  EXPECT_EQ(talk.greeted.turned->reason, "malformed");
  talk.challenge = talk.greeted.reply;
  EXPECT_FALSE(talk.answer());
  EXPECT_EQ(talk.fault->refusal, Refusal::none);
}

TEST(JoinHandshake, PutsNothingOfAStrangerIntoTheLogAsItIs) {
  auto vandal = identity("guess", 9);
  vandal.cluster_name = "a\nlevel=error x=\x1b[2J";
  Talk talk(vandal);
  ASSERT_TRUE(talk.to_proof());
  talk.conclude();
  EXPECT_NE(talk.answered.turned->detail.find("'a?level?error?x???2J'"), std::string::npos)
      << talk.answered.turned->detail;
}

}  // namespace
}  // namespace troupe::actors
