// Keys: their file, their rights, their limits; and the bound of requests over all keys.
#include "services/gateway/access.hpp"

#include <gtest/gtest.h>

#include "services/gateway/admission.hpp"

namespace troupe::services {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

MadeKey made(ApiKey limits) {
  if (limits.name.empty()) limits.name = "alice";
  return make_key(limits).value();
}

std::string refusal(const Answered<Access::Pass>& entered) {
  const auto* error = std::get_if<ApiError>(&entered);
  return error == nullptr ? "" : error->reason;
}

TEST(ApiKeys, AFileHasHashesAndNoKeys) {
  const MadeKey key = made({.name = "",
                            .salt = {},
                            .rights = static_cast<Rights>(Right::tokenize),
                            .requests_per_minute_max = 60,
                            .concurrent_max = 4});
  EXPECT_EQ(key.secret.size(), 74u);
  EXPECT_EQ(key.line.find(key.secret.substr(10)), std::string::npos);
  const auto keys = ApiKeys::parse("# who\n\n" + key.line + " # her key\n");
  ASSERT_TRUE(keys.has_value()) << keys.error().detail;
  const ApiKey* found = keys->find(key.secret);
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->name, "alice");
  EXPECT_TRUE(found->may(Right::tokenize));
  EXPECT_FALSE(found->may(Right::generate));
  EXPECT_EQ(found->requests_per_minute_max, 60);
  EXPECT_EQ(found->concurrent_max, 4);
  EXPECT_EQ(keys->find(key.secret + "0"), nullptr);
  EXPECT_EQ(keys->find(""), nullptr);
}

TEST(ApiKeys, EqualKeysHaveOtherHashes) {
  EXPECT_NE(made({}).line, made({}).line);
  EXPECT_NE(made({}).secret, made({}).secret);
}

TEST(ApiKeys, ABadLineIsNamed) {
  const std::string good = made({}).line;
  for (const auto& [text, says] : std::vector<std::pair<std::string, std::string>>{
           {"alice", "line 1"},
           {"alice sha256:00:00", "sha256:SALT:HASH"},
           {"al/ice " + good.substr(6), "a name has"},
           {"\n" + good + " rights=fly",
            "line 2: rights takes a list of generate,tokenize,cluster"},
           {good + " concurrent=0", "concurrent takes"},
           {good + " priority_max=-1", "priority_max takes a number from 0 to 1000000"},
           {good + " priority_max=1000001", "priority_max takes"},
           {good + " priority_max=", "priority_max takes"},
           {good + " speed=3", "\"speed\" is none of"},
           {good + "\n" + good, "line 2: the name alice occurs twice"},
       }) {
    const auto keys = ApiKeys::parse(text);
    ASSERT_FALSE(keys.has_value()) << text;
    EXPECT_NE(keys.error().detail.find(says), std::string::npos) << keys.error().detail;
  }
  EXPECT_EQ(ApiKeys::load("/no/such/file").error().code, Errc::io);
}

TEST(Access, LetsInWhoHasAKeyAndTheRight) {
  const MadeKey key =
      made({.name = "", .salt = {}, .rights = static_cast<Rights>(Right::tokenize)});
  Access access(ApiKeys::parse(key.line).value());
  const Right tokenize = Right::tokenize, generate = Right::generate;
  EXPECT_EQ(refusal(access.enter("Bearer " + key.secret, &tokenize)), "");
  EXPECT_EQ(refusal(access.enter("bearer   " + key.secret, nullptr)), "");
  EXPECT_EQ(refusal(access.enter("Bearer " + key.secret, &generate)), "INSUFFICIENT_PERMISSIONS");
  for (const std::string& header : {std::string(), key.secret, "Basic " + key.secret,
                                    std::string("Bearer "), "Bearer " + key.secret + " "}) {
    EXPECT_EQ(refusal(access.enter(header, &tokenize)), "INVALID_API_KEY") << header;
  }
}

TEST(Access, OnlyKeysThatSaySoSeeTheCluster) {
  const MadeKey client = made({});
  const MadeKey watcher =
      made({.name = "watcher", .salt = {}, .rights = static_cast<Rights>(Right::cluster)});
  Access access(ApiKeys::parse(client.line + "\n" + watcher.line).value());
  const Right cluster = Right::cluster, generate = Right::generate;
  EXPECT_EQ(refusal(access.enter("Bearer " + client.secret, &generate)), "");
  EXPECT_EQ(refusal(access.enter("Bearer " + client.secret, &cluster)), "INSUFFICIENT_PERMISSIONS");
  EXPECT_EQ(refusal(access.enter("Bearer " + watcher.secret, &cluster)), "");
  EXPECT_EQ(refusal(access.enter("Bearer " + watcher.secret, &generate)),
            "INSUFFICIENT_PERMISSIONS");
}

TEST(Access, CountsRequestsOfAMinute) {
  const MadeKey key = made({.name = "", .salt = {}, .requests_per_minute_max = 2});
  Access access(ApiKeys::parse(key.line).value());
  const std::string header = "Bearer " + key.secret;
  const auto start = Access::Clock::now();
  EXPECT_EQ(refusal(access.enter(header, nullptr, start)), "");
  EXPECT_EQ(refusal(access.enter(header, nullptr, start)), "");
  const auto third = access.enter(header, nullptr, start + seconds(1));
  ASSERT_EQ(refusal(third), "RATE_LIMIT_EXCEEDED");
  const auto wait = std::get<ApiError>(third).retry_after.value();
  EXPECT_NEAR(static_cast<double>(wait.count()), 29'000, 50);  // one each 30 s
  EXPECT_EQ(refusal(access.enter(header, nullptr, start + seconds(1) + wait)), "");
}

TEST(Access, CountsRequestsAtOnce) {
  const MadeKey key = made({.name = "", .salt = {}, .concurrent_max = 1});
  Access access(ApiKeys::parse(key.line).value());
  const std::string header = "Bearer " + key.secret;
  {
    const auto open = access.enter(header, nullptr);
    EXPECT_EQ(refusal(open), "");
    EXPECT_EQ(refusal(access.enter(header, nullptr)), "RATE_LIMIT_EXCEEDED");
  }
  EXPECT_EQ(refusal(access.enter(header, nullptr)), "");
}

TEST(Access, BoundsThePriorityOfAKeyThatHasABound) {
  const MadeKey bound = made({.name = "bound", .salt = {}, .priority_max = 0});
  const MadeKey any = made({.name = "any", .salt = {}});
  Access access(ApiKeys::parse(bound.line + "\n" + any.line).value());
  const auto refused = [&](const MadeKey& key, std::int32_t priority) {
    const auto entered = access.enter("Bearer " + key.secret, nullptr);
    return std::get<Access::Pass>(entered).refuse_priority(priority);
  };
  EXPECT_EQ(refused(bound, 0), std::nullopt);
  EXPECT_EQ(refused(bound, -7), std::nullopt);
  EXPECT_EQ(refused(any, 1'000'000), std::nullopt);
  EXPECT_EQ(Access::Pass().refuse_priority(1'000'000), std::nullopt) << "no keys are asked for";
  const auto error = refused(bound, 1);
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->code, ApiCode::permission_denied);
  EXPECT_EQ(error->metadata.at("priority_max"), "0");
}

TEST(Access, ReplacedKeysCountAtOnce) {
  const MadeKey before = made({}), after = made({});
  Access access(ApiKeys::parse(before.line).value());
  access.replace(ApiKeys::parse(after.line).value());
  EXPECT_EQ(refusal(access.enter("Bearer " + before.secret, nullptr)), "INVALID_API_KEY");
  EXPECT_EQ(refusal(access.enter("Bearer " + after.secret, nullptr)), "");
}

TEST(Admission, HasSoManyPlaces) {
  Admission admission(2);
  {
    const auto one = admission.enter(), two = admission.enter();
    EXPECT_EQ(admission.open(), 2);
    const auto three = admission.enter();
    ASSERT_TRUE(std::holds_alternative<ApiError>(three));
    EXPECT_EQ(std::get<ApiError>(three).reason, "QUEUE_FULL");
    EXPECT_EQ(std::get<ApiError>(three).retry_after, milliseconds(1000));
  }
  EXPECT_EQ(admission.open(), 0);
  EXPECT_TRUE(std::holds_alternative<Admission::Place>(admission.enter()));
}

TEST(Admission, TellsTheRefusedApart) {
  Admission admission(1);
  auto place = admission.enter();
  const auto now = Admission::Clock::now();
  std::get<Admission::Place>(place).release();  // its end comes below, at a time of ours
  admission.leave(now + seconds(4));
  auto again = admission.enter();
  const auto wait = [&] { return *std::get<ApiError>(admission.enter()).retry_after; };
  const auto first = wait(), second = wait();
  EXPECT_NEAR(static_cast<double>(first.count()), 4000, 100);
  EXPECT_NEAR(static_cast<double>(second.count()), 8000, 200);
  for (int i = 0; i < 100; ++i) wait();
  EXPECT_EQ(wait(), seconds(60));
}

TEST(Admission, LearnsFromThoseWhomAShardTurnsAway) {
  Admission admission(100);
  const auto place = [&] { return std::get<Admission::Place>(admission.enter()); };
  auto served = place();
  EXPECT_EQ(admission.turn_away(place()), seconds(1)) << "nothing is known yet";
  EXPECT_EQ(admission.open(), 1);
  served.release();
  admission.leave(Admission::Clock::now() + seconds(6));  // the shard had room again
  auto one = place(), two = place();
  const auto first = admission.turn_away(std::move(one));
  const auto second = admission.turn_away(std::move(two));
  EXPECT_NEAR(static_cast<double>(first.count()), 6000, 100);
  EXPECT_NEAR(static_cast<double>(second.count()), 12000, 200);
  EXPECT_EQ(admission.open(), 0);
}

class NeverRun : public testing::TestWithParam<ApiError> {};

TEST_P(NeverRun, FreesNoPlace) {
  Admission admission(2);
  const auto place = [&] { return std::get<Admission::Place>(admission.enter()); };
  auto served = place();
  ApiError error = GetParam();
  admission.end(place(), error);  // for a moment there was no room
  EXPECT_EQ(error.retry_after, GetParam().retry_after);
  EXPECT_EQ(admission.open(), 1);
  served.release();
  admission.leave(Admission::Clock::now() + seconds(50));  // nobody waited for this place

  auto one = place(), two = place();  // now there is none
  one.release();
  admission.leave(Admission::Clock::now() + seconds(4));
  one = place();
  const auto wait = [&] { return *std::get<ApiError>(admission.enter()).retry_after; };
  EXPECT_NEAR(static_cast<double>(wait().count()), 4000, 100) << "only the last one was waited for";
}

INSTANTIATE_TEST_SUITE_P(Admission, NeverRun,
                         testing::Values(invalid_fields({{"temperature", "is hot"}}),
                                         from_engine({Errc::resource_exhausted, "no memory"})),
                         [](const auto& error) { return error.param.reason; });

TEST(Admission, WhoWasRefusedBeforeItWasEmptyIsForgotten) {
  Admission admission(1);
  const auto place = [&] { return std::get<Admission::Place>(admission.enter()); };
  const auto wait = [&] {
    return static_cast<double>(std::get<ApiError>(admission.enter()).retry_after->count());
  };
  place().release();
  admission.leave(Admission::Clock::now() + seconds(4));
  for (ApiError error :
       {invalid_fields({{"n", "is odd"}}), from_engine({Errc::resource_exhausted, "no memory"}),
        queue_full(1, milliseconds(0))}) {
    auto one = place();
    EXPECT_NEAR(wait(), 4000, 100) << error.reason;
    EXPECT_NEAR(wait(), 8000, 200) << error.reason;
    admission.end(std::move(one), error);
  }
  auto last = place();
  EXPECT_NEAR(wait(), 4000, 100);
}

TEST(Admission, ARequestThatIsWrongInItselfSaysNothingOfAShardsRoom) {
  Admission admission(100);
  const auto place = [&] { return std::get<Admission::Place>(admission.enter()); };
  auto served = place();
  const auto full = [&] {
    ApiError error = queue_full(0, milliseconds(0));
    admission.end(place(), error);
    return *error.retry_after;
  };
  full();
  const auto again = place();
  served.release();
  admission.leave(Admission::Clock::now() + seconds(6));
  const auto first = full();
  EXPECT_NEAR(static_cast<double>(first.count()), 6000, 100);
  ApiError wrong = invalid_fields({{"max_tokens", "is more than the cache holds"}});
  admission.end(place(), wrong);
  const auto second = full();
  EXPECT_NEAR(static_cast<double>(second.count()), 12000, 200)
      << "it is the second one refused since a place became free";
}

TEST(Admission, WhateverElseEndsARequestFreesItsPlace) {
  Admission admission(1);
  ApiError late = from_engine({Errc::deadline_exceeded, "late"});
  admission.end(std::get<Admission::Place>(admission.enter()), late);
  EXPECT_EQ(admission.open(), 0);
  admission.end(nullptr, late);
  EXPECT_EQ(admission.open(), 0);
}

}  // namespace
}  // namespace troupe::services
