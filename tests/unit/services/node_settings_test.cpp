// What of the configuration reaches the node, and how the join token is read.
#include "services/process/node_settings.hpp"

#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/support/temp_dir.hpp"

namespace troupe::services {
namespace {

using testing::TempDir;
using testing::write_bytes;

TEST(JoinToken, LosesWhiteSpaceAtItsEnd) {
  const TempDir folder;
  write_bytes(folder / "token", "secret words\n");
  EXPECT_EQ(*read_join_token((folder / "token").string()), "secret words");
  EXPECT_EQ(*read_join_token(""), "");
}

TEST(JoinToken, ThatCannotBeUsedNamesTheKeyAndNotTheSecret) {
  const TempDir folder;
  write_bytes(folder / "empty", " \n");
  write_bytes(folder / "long", std::string(1 << 17, 'x'));
  for (const char* name : {"none", "empty", "long", ""}) {
    const auto path = name[0] == '\0' ? folder.path() : folder / name;
    const auto token = read_join_token(path.string());
    ASSERT_FALSE(token.has_value()) << name;
    EXPECT_NE(token.error().detail.find("cluster.join_token_file"), std::string::npos);
    EXPECT_LT(token.error().detail.size(), 300u);
  }
}

TEST(NodeSettings, CarryTheKeysOfTheRole) {
  ServiceConfig config;
  config.cluster.routers = {{"a", 1}, {"b", 2}};
  config.expert.rank = 3;
  config.expert.ranks = 4;
  config.engine.kv_cache = "fp8";
  config.engine.chunk_tokens = 64;
  config.engine.prompt_budget = std::chrono::milliseconds(30);
  config.budget.hop = std::chrono::milliseconds(77);
  config.transport.lanes = "tcp";
  config.transport.ucx_options = {"NET_DEVICES=eth0", "X=a=b"};
  const auto settings = node_settings(config, ServiceRole::expert);
  ASSERT_TRUE(settings.has_value()) << settings.error().detail;
  EXPECT_EQ(settings->role, proto::Role::expert);
  EXPECT_EQ(settings->index, 3u);
  EXPECT_EQ(settings->expert_ranks, 4u);
  EXPECT_EQ(settings->routers_count, 2u);
  EXPECT_EQ(settings->routers[1].port, 2);
  EXPECT_FALSE(settings->colocated_router);
  EXPECT_EQ(settings->engine.kv_cache, model::KvCache::fp8);
  EXPECT_EQ(settings->engine.chunk, 64);
  EXPECT_EQ(settings->engine.prompt_budget.count(), 30);
  EXPECT_EQ(settings->engine.hop_budget.count(), 77);
  EXPECT_EQ(settings->transport, actors::Transport::tcp);
  ASSERT_EQ(settings->ucx_options.size(), 2u);
  EXPECT_EQ(settings->ucx_options[1].second, "a=b");
}

TEST(NodeSettings, OnlyAttentionShardsHostColocatedRouters) {
  ServiceConfig config;
  config.router.placement = "colocated";
  EXPECT_TRUE(node_settings(config, ServiceRole::attention)->colocated_router);
  EXPECT_FALSE(node_settings(config, ServiceRole::expert)->colocated_router);
}

TEST(NodeSettings, NameTheVariablesOfUcxThatTheUserSet) {
  ASSERT_EQ(::setenv("UCX_TROUPE_TEST", "1", 1), 0);
  const auto settings = node_settings({}, ServiceRole::gateway);
  ::unsetenv("UCX_TROUPE_TEST");
  ASSERT_TRUE(settings.has_value());
  const auto& names = settings->ucx_set_by_user;
  EXPECT_NE(std::find(names.begin(), names.end(), "TROUPE_TEST"), names.end());
}

}  // namespace
}  // namespace troupe::services
