// Which replies answer a request: every field of the identity counts.
#include "proto/identity.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <utility>
#include <vector>

#include "tests/support/frame_samples.hpp"

namespace troupe::proto {
namespace {

FrameHeader request() {
  FrameHeader header = testing::sample_header();
  header.kind = static_cast<std::uint16_t>(FrameKind::expert_rows);
  return header;
}

FrameHeader reply(FrameKind kind = FrameKind::expert_reply) {
  FrameHeader header = reply_header(request(), 33, 5);
  header.kind = static_cast<std::uint16_t>(kind);
  return header;
}

TEST(Answers, AReplyMadeFromTheRequestAnswersIt) {
  EXPECT_TRUE(answers(request(), reply()));
  EXPECT_TRUE(answers(request(), reply(FrameKind::failed)));
  EXPECT_EQ(reply().sender_incarnation, 33u);
  EXPECT_EQ(reply().remaining_us, 5u);
}

TEST(Answers, AnyOtherIdentityIsStale) {
  const std::vector<std::pair<const char*, std::function<void(FrameHeader&)>>> changes = {
      {"cluster", [](FrameHeader& h) { h.cluster_id ^= 1; }},
      {"numerics", [](FrameHeader& h) { h.numerics_id ^= 1; }},
      {"work", [](FrameHeader& h) { h.work_id ^= 1; }},
      {"attempt", [](FrameHeader& h) { h.attempt ^= 1; }},
      {"layer", [](FrameHeader& h) { h.layer ^= 1; }},
      {"term", [](FrameHeader& h) { h.term ^= 1; }},
      {"epoch", [](FrameHeader& h) { h.epoch ^= 1; }},
      {"kind", [](FrameHeader& h) { h.kind = static_cast<std::uint16_t>(FrameKind::combined); }},
  };
  for (const auto& [what, change] : changes) {
    FrameHeader header = reply();
    change(header);
    EXPECT_FALSE(answers(request(), header)) << what;
  }
}

TEST(Answers, KindsAnswerOnlyTheirQuestions) {
  EXPECT_TRUE(kind_answers(FrameKind::hello, FrameKind::hello_ack));
  EXPECT_TRUE(kind_answers(FrameKind::hello, FrameKind::goodbye));
  EXPECT_TRUE(kind_answers(FrameKind::submit, FrameKind::tokens));
  EXPECT_TRUE(kind_answers(FrameKind::submit, FrameKind::logits));
  EXPECT_TRUE(kind_answers(FrameKind::rows, FrameKind::combined));
  EXPECT_FALSE(kind_answers(FrameKind::rows, FrameKind::expert_reply));
  EXPECT_FALSE(kind_answers(FrameKind::combined, FrameKind::rows));
  EXPECT_FALSE(kind_answers(FrameKind::lease, FrameKind::failed));
}

TEST(SentBy, AnotherLifeOfAPeerIsAnotherPeer) {
  const FrameHeader sent = request();
  const PeerIdentity peer{sent.cluster_id, sent.numerics_id, sent.sender_incarnation};
  EXPECT_TRUE(sent_by(peer, sent));
  for (auto PeerIdentity::* field :
       {&PeerIdentity::cluster_id, &PeerIdentity::numerics_id, &PeerIdentity::incarnation}) {
    PeerIdentity other = peer;
    ++(other.*field);
    EXPECT_FALSE(sent_by(other, sent));
  }
}

TEST(BudgetAfter, SubtractsResidenceAndKeepsZeroForNone) {
  EXPECT_EQ(budget_after(2000, 500), 1500u);
  EXPECT_EQ(budget_after(2000, 2000), 1u);
  EXPECT_EQ(budget_after(2000, 9000), 1u);
  EXPECT_EQ(budget_after(0, 9000), 0u);
}

}  // namespace
}  // namespace troupe::proto
