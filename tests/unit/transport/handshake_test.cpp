// Who may join: token, cluster, version and numerics, each refusal with its reason.
#include "transport/handshake.hpp"

#include <gtest/gtest.h>

namespace troupe::transport {
namespace {

Credentials credentials(proto::Role role) {
  Credentials own;
  own.role = role;
  own.index = 4;
  own.identity = {0xc1, 0xab, 0x77};
  own.join_token.fill(std::byte{9});
  return own;
}

struct Hello {
  Credentials speaker = credentials(proto::Role::router);
  Expected<Greeting> heard_by(const Credentials& own) const {
    return check_hello(own, hello_header(speaker), make_hello(speaker, {10, 20}));
  }
};

const Credentials kOwn = credentials(proto::Role::expert);

TEST(Handshake, LetsAPeerOfTheSameClusterIn) {
  const auto greeting = Hello().heard_by(kOwn);
  ASSERT_TRUE(greeting) << greeting.error().detail;
  EXPECT_EQ(greeting->role, proto::Role::router);
  EXPECT_EQ(greeting->index, 4u);
  EXPECT_EQ(greeting->peer.incarnation, 0x77u);
  EXPECT_EQ(greeting->version, proto::kProtocolVersion);
  EXPECT_EQ(greeting->grant.decode_rows, 10u);
  EXPECT_EQ(greeting->grant.prefill_rows, 20u);
}

TEST(Handshake, RefusesAWrongTokenWithoutSayingMore) {
  for (std::size_t at = 0; at < proto::kJoinTokenBytes; ++at) {
    Hello hello;
    hello.speaker.join_token[at] ^= std::byte{1};
    hello.speaker.identity.cluster_id = 0xdeadbeef;
    const auto refused = hello.heard_by(kOwn);
    ASSERT_FALSE(refused) << "byte " << at;
    EXPECT_EQ(refused.error().code, Errc::unavailable);
    EXPECT_EQ(refused.error().detail.find("deadbeef"), std::string::npos);
  }
}

TEST(Handshake, RefusesAnotherCluster) {
  Hello hello;
  hello.speaker.identity.cluster_id = 0xc2;
  const auto refused = hello.heard_by(kOwn);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::unavailable);
  EXPECT_NE(refused.error().detail.find("00000000000000c2"), std::string::npos);
}

TEST(Handshake, RefusesForeignVersionsNamingBoth) {
  Hello hello;
  hello.speaker.versions = {7, 8};
  const auto refused = hello.heard_by(kOwn);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::unsupported);
  EXPECT_NE(refused.error().detail.find("7 to 8"), std::string::npos);
  EXPECT_NE(refused.error().detail.find("1 to 1"), std::string::npos);
}

TEST(Handshake, SpeaksTheHighestCommonVersion) {
  Hello hello;
  hello.speaker.versions = {1, 2};
  Credentials newer = kOwn;
  newer.versions = {2, 3};
  EXPECT_EQ(hello.heard_by(newer)->version, 2);
  EXPECT_EQ(hello_header(hello.speaker).version, 1) << "hello travels in the oldest version";
}

TEST(Handshake, RefusesOtherNumericsNamingBoth) {
  Hello hello;
  hello.speaker.identity.numerics_id = 0xee;
  const auto refused = hello.heard_by(kOwn);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::unsupported);
  EXPECT_NE(refused.error().detail.find("00000000000000ee"), std::string::npos);
  EXPECT_NE(refused.error().detail.find("00000000000000ab"), std::string::npos);
}

}  // namespace
}  // namespace troupe::transport
