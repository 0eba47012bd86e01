// The bound on CAF's messages: exact, whatever the pieces, and wide enough for the largest cluster.
#include "actors/control/basp_watch.hpp"

#include <gtest/gtest.h>

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/binary_serializer.hpp>
#include <caf/io/basp/header.hpp>
#include <random>

#include "actors/control_messages.hpp"

namespace troupe::actors {
namespace {

using Bytes = std::vector<std::byte>;

struct Caf : ::testing::Test {
  caf::actor_system_config config;
  caf::actor_system system{config};

  template <class... Values>
  Bytes serialised(const Values&... values) {
    std::vector<char> buffer;
    caf::binary_serializer sink{system, buffer};
    EXPECT_EQ(sink(const_cast<Values&>(values)...), caf::none);
    Bytes bytes(buffer.size());
    std::memcpy(bytes.data(), buffer.data(), buffer.size());
    return bytes;
  }
  /// As CAF itself writes it.
  Bytes header(std::uint32_t payload) {
    return serialised(
        caf::io::basp::header{caf::io::basp::message_type::direct_message, 0, payload, 3, 4, 5});
  }
};

TEST_F(Caf, HeadersHaveTheSizeAndPlaceThatTheWatchReads) {
  const auto bytes = header(0x00010203);
  EXPECT_EQ(bytes.size(), BaspWatch::kHeaderBytes);
  EXPECT_EQ(caf::io::basp::header_size, BaspWatch::kHeaderBytes);
  BaspWatch watch;
  EXPECT_TRUE(watch.take(bytes));
  EXPECT_EQ(watch.announced(), 0x00010203u);
}

TEST_F(Caf, StopsAtTheFirstByteTooMany) {
  BaspWatch watch(1000);
  EXPECT_TRUE(watch.take(header(1000)));
  EXPECT_TRUE(watch.take(Bytes(1000)));
  EXPECT_TRUE(watch.take(header(0)));
  EXPECT_FALSE(watch.take(header(1001)));
  EXPECT_EQ(watch.announced(), 1001u);
  EXPECT_FALSE(watch.take(Bytes(1))) << "for good";
  BaspWatch full;
  EXPECT_TRUE(full.take(header(kBaspPayloadMax)));
  BaspWatch more;
  EXPECT_FALSE(more.take(header(kBaspPayloadMax + 1)));
  BaspWatch most;
  EXPECT_FALSE(most.take(header(0xffffffff)));
}

TEST_F(Caf, FollowsMessagesInAnyPieces) {
  constexpr unsigned kSeed = 20251129;
  std::mt19937 random(kSeed);
  for (int round = 0; round < 300; ++round) {
    Bytes stream;
    for (int message = 0; message < 20; ++message) {
      const auto payload = static_cast<std::uint32_t>(random() % 100);
      const auto head = header(payload);
      stream.insert(stream.end(), head.begin(), head.end());
      stream.resize(stream.size() + payload, std::byte{0xff});
    }
    const auto good = stream.size();
    const auto bad = header(101);
    stream.insert(stream.end(), bad.begin(), bad.end());
    BaspWatch watch(100);
    std::size_t passed = 0;
    while (passed < stream.size()) {
      const auto piece = std::min<std::size_t>(1 + random() % 70, stream.size() - passed);
      if (!watch.take(std::span(stream).subspan(passed, piece))) break;
      passed += piece;
    }
    EXPECT_LT(passed, stream.size()) << "seed " << kSeed << " round " << round;
    EXPECT_GT(passed + 70, good) << "seed " << kSeed << " round " << round;
    EXPECT_EQ(watch.announced(), 101u);
  }
}

TEST_F(Caf, TheLargestMessagesOfALargeClusterFit) {
  MemberReport member;
  member.host = member.version = member.ops_address = std::string(kNameBytesMax, 'x');
  ClusterReport report;
  report.members.assign(kMembersMax, member);
  EXPECT_LE(serialised(report).size(), kBaspPayloadMax / 2);

  Roster roster;
  roster.members.resize(kMembersMax);
  EXPECT_LE(serialised(roster).size(), kBaspPayloadMax / 2);

  ConnectRequest connect;
  connect.address = std::string(kAddressBytesMax, 'x');
  EXPECT_LE(serialised(connect).size(), kBaspPayloadMax / 2);

  // As many lists as a placement may have, no two layers alike, three replicas of each expert.
  PublishedPlacement published;
  published.placement.experts = 1024;
  published.placement.replicas.assign(kReplicaListsMax, {1, 2, 3});
  for (std::size_t layer = 0; layer < 1024; ++layer)
    published.placement.replicas[1024 * layer].back() = 4 + static_cast<int>(layer);
  const PlacementNote note{std::make_shared<const PublishedPlacement>(published)};
  EXPECT_LE(serialised(note).size(), kBaspPayloadMax);
}

}  // namespace
}  // namespace troupe::actors
