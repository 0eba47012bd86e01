// The command lines of a local cluster.
#include "services/local/local_services.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "services/runtime/machine.hpp"

namespace troupe::services {
namespace {

std::string value_of(const ChildSpec& spec, const std::string& flag) {
  const auto at = std::find(spec.arguments.begin(), spec.arguments.end(), flag);
  return at == spec.arguments.end() ? "absent" : *(at + 1);
}

LocalPlan plan(bool colocated) {
  LocalPlan plan;
  plan.experts = 3;
  plan.attention = 2;
  plan.routers = 1;
  plan.colocated = colocated;
  plan.settings = {{"engine.mode", "f32"}};
  auto made = with_identity(std::move(plan));
  EXPECT_TRUE(made);
  return *std::move(made);
}

TEST(LocalServices, EveryRoleGetsItsPlaceAndTheSameCluster) {
  auto with = plan(false);
  with.gateway = {{"gateway.grpc_listen", "127.0.0.1:1"}};
  const auto services = local_services(with);
  ASSERT_EQ(services.size(), 7u);
  EXPECT_EQ(services[0].name, "router 0");
  EXPECT_EQ("127.0.0.1:" + std::to_string(with.control_ports[0]),
            value_of(services[0], "--control-listen"));
  EXPECT_EQ(value_of(services[2], "--attention-index"), "1");
  EXPECT_EQ(value_of(services[5], "--expert-rank"), "2");
  EXPECT_EQ(value_of(services[5], "--expert-ranks"), "3");
  EXPECT_EQ(services[6].name, "gateway 0");
  EXPECT_EQ(value_of(services[6], "--gateway-grpc-listen"), "127.0.0.1:1");
  for (const auto& service : services) {
    EXPECT_EQ(value_of(service, "--cluster-name"), with.cluster_name);
    EXPECT_EQ(value_of(service, "--cluster-routers"), router_list(with));
    EXPECT_EQ(value_of(service, "--engine-mode"), "f32");
  }
}

TEST(LocalServices, TheHopBudgetReachesEveryRoleThatWaitsByIt) {
  auto with = plan(false);
  with.gateway = {{"gateway.grpc_listen", "127.0.0.1:1"}};
  with.settings = {{"budget.hop_ms", "700"}};
  for (const auto& service : local_services(with)) {
    const bool expert = service.arguments.front() == "expert";
    EXPECT_EQ(value_of(service, "--budget-hop-ms"), expert ? "absent" : "700") << service.name;
  }
}

TEST(LocalServices, ColocatedRoutersListenInTheAttentionServices) {
  const auto with = plan(true);
  EXPECT_EQ(with.control_ports.size(), 2u);
  const auto services = local_services(with);
  ASSERT_EQ(services.size(), 5u);
  EXPECT_EQ(services[1].name, "attention 1");
  EXPECT_EQ("127.0.0.1:" + std::to_string(with.control_ports[1]),
            value_of(services[1], "--control-listen"));
  EXPECT_EQ(value_of(services[1], "--router-placement"), "colocated");
}

TEST(LocalServices, ServicesThatComputeTogetherShareTheThreads) {
  auto with = plan(false);  // one router, two attention shards, three experts
  const auto threads = [&] {
    std::string all;
    for (const auto& service : local_services(with))
      all += value_of(service, "--engine-threads") + " ";
    return all;
  };
  with.threads = 8;
  EXPECT_EQ(threads(), "8 4 4 2 2 2 ");
  with.threads = 2;
  EXPECT_EQ(threads(), "2 1 1 1 1 1 ");
  with.settings.emplace_back("engine.threads", "5");
  EXPECT_EQ(threads(), "5 5 5 5 5 5 ") << "what is asked for is given to each";
  with.settings.pop_back();
  with.threads = 0;
  EXPECT_EQ(value_of(local_services(with)[0], "--engine-threads"), std::to_string(cores_allowed()));
}

TEST(LocalServices, TwoClustersShareNeitherNameNorToken) {
  const auto read = [](const std::string& path) {
    std::ifstream file(path);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  const auto one = plan(false);
  const auto other = plan(false);
  EXPECT_NE(one.cluster_name, other.cluster_name);
  EXPECT_NE(read(one.join_token_file), read(other.join_token_file));
  EXPECT_GT(read(one.join_token_file).size(), 32u);
}

}  // namespace
}  // namespace troupe::services
