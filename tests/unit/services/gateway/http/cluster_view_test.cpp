// The cluster as GET /cluster/status shows it, and how often the cluster itself is asked.
#include "services/gateway/http/cluster_view.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/unit/services/gateway/tiny_model.hpp"

namespace troupe::services::http {
namespace {

using Json = nlohmann::json;
using std::chrono::milliseconds;

struct ClusterViewTest : testing::Test {
  ClusterViewTest() {
    actors::MemberReport rank;
    rank.entry.peer = actors::peer_id(proto::Role::expert, 1);
    rank.entry.state = actors::MemberState::draining;
    rank.last_beat.queued_rows = 7;
    rank.last_beat.oldest_work_us = 1500;
    rank.silent = milliseconds(250);
    rank.experts = {16, 32};
    rank.host = "secret-host";
    rank.ops_address = "secret-address:1";
    rank.pid = 424242;
    rank.version = "1.2";
    report.term = 65536;
    report.epoch = 3;
    report.expert_ranks = 2;
    report.members = {rank};
    const auto& config = tiny_model().config();
    std::vector<std::int64_t> pairs(static_cast<std::size_t>(config.num_layers) * 16);
    for (std::size_t i = 0; i < pairs.size(); ++i) pairs[i] = static_cast<std::int64_t>(i);
    loads = {{rank.entry.peer, rank.experts, pairs}};
  }
  Answered<std::string> ask(milliseconds after) {
    now = start + after;
    return view.text();
  }
  Json shown(milliseconds after) { return Json::parse(std::get<std::string>(ask(after))); }

  Expected<actors::ClusterReport> said() {
    ++asked;
    now += takes;
    if (away) return unexpected(Errc::unavailable, "no director answered within two seconds");
    return report;
  }

  Expected<std::vector<actors::ExpertLoad>> counts() const {
    if (!counts_known) return unexpected(Errc::unavailable, "the director does not answer");
    return loads;
  }

  actors::ClusterReport report;
  std::vector<actors::ExpertLoad> loads;
  bool away = false;
  bool counts_known = true;
  milliseconds takes{0};  // to say so
  int asked = 0;
  const ClusterView::Clock::time_point start{};
  ClusterView::Clock::time_point now = start;
  ClusterView view{tiny_served(), {[this] { return said(); }, [this] { return counts(); }}, [this] {
                     return now;
                   }};
};

TEST_F(ClusterViewTest, ShowsStatesAndCountsOfMoeLayersAndNoHosts) {
  const Json out = shown(milliseconds(0));
  EXPECT_EQ(out["term"], 65536);
  EXPECT_EQ(out["epoch"], 3);
  EXPECT_EQ(out["serving"], false);
  EXPECT_EQ(out["expert_ranks"], 2);
  EXPECT_EQ(out["experts"], 32);
  EXPECT_EQ(out["layers"], Json::parse("[1,2,3,4]"));  // layer 0 is dense
  ASSERT_EQ(out["members"].size(), 1u);
  const Json& member = out["members"][0];
  EXPECT_EQ(member["role"], "expert");
  EXPECT_EQ(member["index"], 1);
  EXPECT_EQ(member["state"], "DRAINING");
  EXPECT_EQ(member["queued_rows"], 7);
  EXPECT_EQ(member["oldest_work_s"], 0.0015);
  EXPECT_EQ(member["silent_s"], 0.25);
  EXPECT_EQ(member["experts"], Json::parse(R"({"begin":16,"end":32})"));
  ASSERT_EQ(out["loads"].size(), 1u);
  const Json& load = out["loads"][0];
  EXPECT_EQ(load["rank"], 1);
  EXPECT_EQ(load["first"], 16);
  EXPECT_EQ(load["count"], 16);
  ASSERT_EQ(load["pairs"].size(), 4u);
  EXPECT_EQ(load["pairs"][0][0], 16);  // the first of layer 1
  EXPECT_EQ(load["pairs"][3][15], 79);
  for (const char* inside : {"secret", "424242"})
    EXPECT_EQ(out.dump().find(inside), std::string::npos) << inside;
}

TEST_F(ClusterViewTest, AsksTheClusterTwiceASecondHoweverManyLook) {
  for (int i = 0; i < 10; ++i) (void)ask(milliseconds(i * 49));
  EXPECT_EQ(asked, 1);
  report.epoch = 4;
  EXPECT_EQ(shown(milliseconds(499))["epoch"], 3);
  EXPECT_EQ(shown(milliseconds(500))["epoch"], 4);
  EXPECT_EQ(asked, 2);
}

TEST_F(ClusterViewTest, ADirectorThatIsAwayIsUnavailableAndNotAskedByEachOfMany) {
  away = true;
  for (int i = 0; i < 10; ++i) {
    const auto answer = ask(milliseconds(i));
    ASSERT_TRUE(std::holds_alternative<ApiError>(answer));
    EXPECT_EQ(std::get<ApiError>(answer).code, ApiCode::unavailable);
  }
  EXPECT_EQ(asked, 1);
  away = false;
  EXPECT_EQ(shown(milliseconds(500))["term"], 65536);
}

TEST_F(ClusterViewTest, CountsOfAnotherShapeAreNotShown) {
  loads.push_back(loads[0]);
  loads[0].pairs.pop_back();
  EXPECT_EQ(shown(milliseconds(0))["loads"].size(), 1u);
}

TEST_F(ClusterViewTest, WithoutLoadsTheMembersAreShown) {
  counts_known = false;
  const Json out = shown(milliseconds(0));
  EXPECT_EQ(out["members"].size(), 1u);
  EXPECT_EQ(out["loads"], Json::array());
}

TEST_F(ClusterViewTest, ThoseWhoWaitWhileTheClusterIsAskedGetItsAnswer) {
  takes = milliseconds(2000);
  (void)ask(milliseconds(0));
  (void)ask(takes);  // had come before that, and waited
  EXPECT_EQ(asked, 1);
  (void)ask(takes + milliseconds(500));
  EXPECT_EQ(asked, 2);
}

}  // namespace
}  // namespace troupe::services::http
