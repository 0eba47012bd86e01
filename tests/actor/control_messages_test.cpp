// Control messages through CAF's serialisation: round trips, bounds, and bytes that are none.
#include <gtest/gtest.h>

#include <caf/binary_deserializer.hpp>
#include <caf/binary_serializer.hpp>
#include <random>

#include "actors/director/spawn_director.hpp"
#include "tests/support/announcements.hpp"

namespace troupe::actors {
namespace {

using Bytes = std::vector<char>;

struct ControlMessages : ::testing::Test {
  template <class Value>
  Bytes save(const Value& value) {
    Bytes bytes;
    caf::binary_serializer sink(nullptr, bytes);
    EXPECT_FALSE(sink(const_cast<Value&>(value)));
    return bytes;
  }
  /// False: refused.
  template <class Value>
  static bool load(const Bytes& bytes, Value& value) {
    caf::binary_deserializer source(nullptr, bytes);
    return !source(value);
  }
  template <class Value>
  Value travelled(const Value& value) {
    Value arrived{};
    EXPECT_TRUE(load(save(value), arrived));
    return arrived;
  }
  /// Every prefix, and many mutations, end in a value within its bounds or in a refusal.
  template <class Value>
  void survives_mutations(const Value& value) {
    const Bytes good = save(value);
    for (std::size_t size = 0; size < good.size(); ++size) {
      Value arrived{};
      load(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size)), arrived);
    }
    constexpr unsigned kSeed = 20261122;
    SCOPED_TRACE("seed " + std::to_string(kSeed));
    std::mt19937 random(kSeed);
    std::size_t taken = 0;
    for (int round = 0; round < 20000; ++round) {
      Bytes bytes = good;
      const auto changes = 1 + random() % 4;
      for (unsigned i = 0; i < changes; ++i)
        bytes[random() % bytes.size()] = static_cast<char>(random() % 3 ? random() : 0xff);
      if (random() % 4 == 0) bytes.resize(random() % (bytes.size() + 1));
      Value arrived{};
      if (!load(bytes, arrived)) continue;
      ++taken;
      save(arrived);  // what was let in can be passed on
    }
    EXPECT_GT(taken, 0u);
  }
};

Announcement full_announcement() {
  auto says = testing::announcement(proto::Role::expert, 1, 42, 2);
  says.protocol_oldest = 3;
  says.protocol_newest = 4;
  says.process = 43;
  says.term_seen = 7u << 16;
  says.state = MemberState::loading;
  says.wants_quantised_rows = true;
  says.host = "node-7";
  says.pid = 123456;
  says.version = "1.2.3";
  says.ops_address = "10.0.0.7:9090";
  says.unlinked = 16;
  return says;
}

Beat full_beat() {
  return {peer_id(proto::Role::router, 2), 9, MemberState::draining, 0.25f, 10, 11, 12, 13, 14, 15};
}

Roster full_roster() {
  return {5u << 16,
          6,
          true,
          {{peer_id(proto::Role::expert, 0), 1, 2, MemberState::suspect, 17},
           {peer_id(proto::Role::gateway, 77), 3, 4, MemberState::lost, 18}}};
}

PlacementNote full_placement() {
  auto placement = model::static_placement(4, 6, 3);
  placement.term = 8u << 16;
  placement.epoch = 3;
  placement.replicas[2 * 6 + 1] = {0, 2, 65535};
  placement.replicas[2 * 6 + 2].clear();
  return {std::make_shared<PublishedPlacement>(PublishedPlacement{std::move(placement), true})};
}

ReportReply full_report() {
  ReportReply reply;
  reply.report = {1u << 16, 2, true, 3, 4, {}};
  MemberReport member;
  member.entry = full_roster().members[0];
  member.last_beat = full_beat();
  member.silent = std::chrono::milliseconds(1234);
  member.experts = {4, 8};
  member.host = "node-7";
  member.pid = 5;
  member.version = "1.2.3";
  member.ops_address = "a:1";
  reply.report.members = {member, member};
  return reply;
}

ExpertLoad full_load() {
  return {peer_id(proto::Role::expert, 1), {4, 6}, {1, 2, 3, std::int64_t{1} << 60}};
}

TEST_F(ControlMessages, AnAnnouncementArrivesWhole) {
  const auto sent = full_announcement();
  const auto got = travelled(sent);
  EXPECT_EQ(got.protocol_oldest, 3);
  EXPECT_EQ(got.protocol_newest, 4);
  EXPECT_EQ(got.join_token, sent.join_token);
  EXPECT_EQ(got.cluster_id, sent.cluster_id);
  EXPECT_EQ(got.numerics_id, sent.numerics_id);
  EXPECT_EQ(got.peer, sent.peer);
  EXPECT_EQ(got.incarnation, 42u);
  EXPECT_EQ(got.process, 43u);
  EXPECT_EQ(got.term_seen, 7u << 16);
  EXPECT_EQ(got.state, MemberState::loading);
  EXPECT_EQ(got.expert_ranks, 2u);
  EXPECT_EQ(got.experts.first, 4);
  EXPECT_EQ(got.experts.last, 8);
  EXPECT_TRUE(got.wants_quantised_rows);
  EXPECT_EQ(got.host, "node-7");
  EXPECT_EQ(got.pid, 123456);
  EXPECT_EQ(got.version, "1.2.3");
  EXPECT_EQ(got.ops_address, "10.0.0.7:9090");
}

TEST_F(ControlMessages, TheJoinTokenIsNotPrinted) {
  auto says = full_announcement();
  says.host = "seen";
  EXPECT_NE(caf::deep_to_string(says).find("seen"), std::string::npos);
  auto other = says;
  other.join_token.fill(std::byte{1});
  EXPECT_EQ(caf::deep_to_string(says), caf::deep_to_string(other));
}

TEST_F(ControlMessages, ABeatArrivesWhole) {
  const auto got = travelled(full_beat());
  EXPECT_EQ(got.peer, peer_id(proto::Role::router, 2));
  EXPECT_EQ(got.incarnation, 9u);
  EXPECT_EQ(got.state, MemberState::draining);
  EXPECT_EQ(got.load_progress, 0.25f);
  EXPECT_EQ(got.progress, 10u);
  EXPECT_EQ(got.oldest_work_us, 11u);
  EXPECT_EQ(got.queued_rows, 12u);
  EXPECT_EQ(got.term_seen, 13u);
  EXPECT_EQ(got.director_term, 14u);
}

TEST_F(ControlMessages, ARosterArrivesWithTheReplyItIsIn) {
  const auto got = travelled(
      AnnounceReply{Refusal::rank_taken, {Errc::unavailable, "it is held"}, full_roster()});
  EXPECT_EQ(got.refusal, Refusal::rank_taken);
  EXPECT_EQ(got.error, (Error{Errc::unavailable, "it is held"}));
  EXPECT_EQ(got.roster.term, 5u << 16);
  EXPECT_EQ(got.roster.version, 6u);
  EXPECT_TRUE(got.roster.serving);
  ASSERT_EQ(got.roster.members.size(), 2u);
  EXPECT_EQ(got.roster.members[0].process, 2u);
  EXPECT_EQ(got.roster.members[1].incarnation, 3u);
  EXPECT_EQ(got.roster.members[1].state, MemberState::lost);
}

TEST_F(ControlMessages, WorkerAddressesAreBytes) {
  const std::string address("\0\xff\n\0 x", 6);
  EXPECT_EQ(travelled(ConnectRequest{1, 2, 3, address}).address, address);
  const auto reply = travelled(ConnectReply{{Errc::stale, "why"}, address});
  EXPECT_EQ(reply.address, address);
  EXPECT_EQ(reply.error, (Error{Errc::stale, "why"}));
}

TEST_F(ControlMessages, APlacementArrivesWholeAndSmall) {
  const auto sent = full_placement();
  const auto got = travelled(sent);
  EXPECT_EQ(got.placement->placement.term, 8u << 16);
  EXPECT_EQ(got.placement->placement.epoch, 3u);
  EXPECT_EQ(got.placement->placement.experts, 6);
  EXPECT_EQ(got.placement->placement.replicas, sent.placement->placement.replicas);
  EXPECT_TRUE(got.placement->quantised_rows);
  // DeepSeek-V3: 61 layers alike cost little more than one.
  const PublishedPlacement large{model::static_placement(61, 256, 64), false};
  EXPECT_LT(save(PlacementNote{std::make_shared<PublishedPlacement>(large)}).size(), 1300u);
}

TEST_F(ControlMessages, PlacementsThatAreNoneAreRefused) {
  const auto good = pack(*full_placement().placement);
  ASSERT_TRUE(unpack(good));
  const auto refused = [](PackedPlacement packed) {
    const auto placement = unpack(packed);
    return !placement && placement.error().code == Errc::malformed;
  };
  auto bad = good;
  bad.layers = 1u << 31;
  bad.experts = 1u << 31;
  EXPECT_TRUE(refused(bad));
  bad = good;
  bad.layers = 1000;  // more than there is code for
  EXPECT_TRUE(refused(bad));
  bad = good;
  --bad.layers;  // code is left over
  EXPECT_TRUE(refused(bad));
  bad = good;
  bad.code.front() = 0;  // the first layer has none before it
  EXPECT_TRUE(refused(bad));
  bad = good;
  bad.code.front() = 2;
  EXPECT_TRUE(refused(bad));
  bad = good;
  bad.code.pop_back();
  EXPECT_TRUE(refused(bad));
  EXPECT_TRUE(refused({1, 1, 1, 1, false, {1, 2, 5, 5}}));  // twice the same replica
  EXPECT_TRUE(refused({1, 1, 1, 1, false, {1, 3, 5, 6}}));  // a count past the end
  EXPECT_TRUE(refused({1, 1, 1, 1, false, {}}));
  EXPECT_TRUE(unpack({1, 1, 0, 0, false, {}}));
}

TEST_F(ControlMessages, AReportArrivesWhole) {
  const auto got = travelled(full_report()).report;
  EXPECT_EQ(got.term, 1u << 16);
  EXPECT_EQ(got.epoch, 2u);
  EXPECT_TRUE(got.serving);
  EXPECT_EQ(got.numerics_id, 3u);
  EXPECT_EQ(got.expert_ranks, 4u);
  ASSERT_EQ(got.members.size(), 2u);
  EXPECT_EQ(got.members[1].silent, std::chrono::milliseconds(1234));
  EXPECT_EQ(got.members[1].last_beat.queued_rows, 12u);
  EXPECT_EQ(got.members[1].experts.last, 8);
  EXPECT_EQ(got.members[1].ops_address, "a:1");
}

TEST_F(ControlMessages, LoadsArriveWhole) {
  const ExpertLoad one = full_load();
  EXPECT_EQ(travelled(one).pairs, one.pairs);
  const auto got = travelled(LoadsReply{{Errc::overloaded, "why"}, {one, one}});
  EXPECT_EQ(got.error, (Error{Errc::overloaded, "why"}));
  ASSERT_EQ(got.ranks.size(), 2u);
  EXPECT_EQ(got.ranks[1].peer, one.peer);
  EXPECT_EQ(got.ranks[1].experts.first, 4);
  EXPECT_EQ(got.ranks[1].experts.last, 6);
  EXPECT_EQ(got.ranks[1].pairs, one.pairs);
}

TEST_F(ControlMessages, AnErrorOfANewerBuildIsInternal) {
  const auto got = travelled(PublishOutcome{3, {static_cast<Errc>(999), std::string(5000, 'x')}});
  EXPECT_EQ(got.epoch, 3u);
  EXPECT_EQ(got.error.code, Errc::internal);
  EXPECT_LE(got.error.detail.size(), proto::kDetailBytesMax);
}

TEST_F(ControlMessages, LongNamesAreClipped) {
  auto says = full_announcement();
  says.host = says.version = says.ops_address = std::string(100000, 'h');
  const auto got = travelled(says);
  EXPECT_EQ(got.host.size(), kNameBytesMax);
  EXPECT_EQ(got.version.size(), kNameBytesMax);
  EXPECT_EQ(got.ops_address.size(), kNameBytesMax);
}

TEST_F(ControlMessages, WhatBreaksABoundIsRefused) {
  ExpertLoad counts{1, {0, 1}, std::vector<std::int64_t>(kReplicaListsMax)};
  EXPECT_TRUE(load(save(counts), counts));
  counts.pairs.push_back(0);
  EXPECT_FALSE(load(save(counts), counts));
  ExpertLoad backwards{1, {3, 2}, {}};
  EXPECT_FALSE(load(save(backwards), backwards));
  LoadsReply loads{{Errc::ok, {}}, std::vector<ExpertLoad>(kMembersMax + 1)};
  EXPECT_FALSE(load(save(loads), loads));
  ConnectRequest request{1, 2, 3, std::string(kAddressBytesMax, 'a')};
  EXPECT_TRUE(load(save(request), request));
  request.address += 'a';
  EXPECT_FALSE(load(save(request), request));
  Roster roster = full_roster();
  roster.members.resize(kMembersMax + 1, roster.members[0]);
  EXPECT_FALSE(load(save(roster), roster));
  auto says = full_announcement();
  says.state = static_cast<MemberState>(5);
  EXPECT_FALSE(load(save(says), says));
  says = full_announcement();
  says.experts = {3, 2};
  EXPECT_FALSE(load(save(says), says));
  auto beat = full_beat();
  beat.state = static_cast<MemberState>(200);
  EXPECT_FALSE(load(save(beat), beat));
}

TEST_F(ControlMessages, ProgressIsBetweenZeroAndOne) {
  auto beat = full_beat();
  for (const auto& [said, kept] : {std::pair{-1.f, 0.f}, {7.f, 1.f}}) {
    beat.load_progress = said;
    EXPECT_EQ(travelled(beat).load_progress, kept);
  }
  beat.load_progress = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(settle(beat));
  EXPECT_EQ(beat.load_progress, 0.f);
}

std::string hex(const Bytes& bytes) {
  std::string text;
  for (const char byte : bytes) {
    constexpr char kDigits[] = "0123456789abcdef";
    text += kDigits[static_cast<unsigned char>(byte) >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

/// Another release reads these bytes: a change here needs a new protocol version.
TEST_F(ControlMessages, StayAsTheyAreOnTheWire) {
  EXPECT_EQ(hex(save(ConnectRequest{1, 2, 3, "ab"})),
            "000000000000000100000000000000020000000000000003026162");
  EXPECT_EQ(hex(save(full_beat())),
            "00000003000000020000000000000009033e800000000000000000000a000000"
            "000000000b000000000000000c000000000000000d000000000000000e000000"
            "000000000f");
  EXPECT_EQ(hex(save(full_announcement())),
            "000300045a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a"
            "5a5a5a5a00000000000000c10000000000000077000000040000000100000000"
            "0000002a000000000000002b0000000000070000000000000200000000000000"
            "04000000000000000801066e6f64652d37000000000001e24005312e322e330d"
            "31302e302e302e373a393039300000000000000010");
  EXPECT_EQ(hex(save(full_roster())),
            "0000000000050000000000000000000601020000000400000000000000000000"
            "00010000000000000002020000000000000011000000010000004d0000000000"
            "0000030000000000000004040000000000000012");
  EXPECT_EQ(hex(save(PlacementNote{*unpack({1, 2, 2, 2, true, {1, 1, 0, 2, 0, 1, 0}})})),
            "0000000000000001000000000000000200000002000000020107000100010000"
            "0002000000010000");
  EXPECT_EQ(hex(save(PublishOutcome{1, {Errc::internal, "d"}})), "000000000000000100100164");
}

TEST_F(ControlMessages, AnyBytesAreAValueOrARefusal) {
  survives_mutations(full_announcement());
  survives_mutations(full_beat());
  survives_mutations(AnnounceReply{Refusal::full, {Errc::overloaded, "full"}, full_roster()});
  survives_mutations(ConnectRequest{1, 2, 3, "address"});
  survives_mutations(ConnectReply{{Errc::ok, "d"}, "address"});
  survives_mutations(full_placement());
  survives_mutations(PublishOutcome{1, {Errc::ok, "d"}});
  survives_mutations(full_report());
  survives_mutations(LoadsReply{{Errc::ok, "d"}, {full_load(), full_load()}});
}

/// Whole messages, as the middleman reads them from its connection: types by name.
TEST_F(ControlMessages, ASystemKnowsEveryMessageByName) {
  caf::actor_system_config config;
  register_control_messages(config);
  config.set("scheduler.max-threads", 1u);
  caf::actor_system system(config);
  const auto whole = [&](caf::message sent) {
    Bytes bytes;
    caf::binary_serializer sink(system, bytes);
    EXPECT_FALSE(sink(sent));
    caf::message got;
    caf::binary_deserializer source(system, bytes);
    EXPECT_FALSE(source(got));
    EXPECT_EQ(to_string(sent), to_string(got));
  };
  whole(caf::make_message(announce_atom_v, full_announcement()));
  whole(caf::make_message(AnnounceReply{}));
  whole(caf::make_message(beat_atom_v, full_beat()));
  whole(caf::make_message(roster_atom_v, full_roster()));
  whole(caf::make_message(connect_atom_v, ConnectRequest{1, 2, 3, "a"}));
  whole(caf::make_message(ConnectReply{}));
  whole(caf::make_message(adopt_atom_v, full_placement()));
  whole(caf::make_message(PublishOutcome{}));
  whole(caf::make_message(full_report()));
  whole(caf::make_message(load_atom_v, full_load()));
  whole(caf::make_message(loads_atom_v, LoadsReply{}));
  whole(caf::make_message(evicted_atom_v, std::uint64_t{7}));
}

}  // namespace
}  // namespace troupe::actors
