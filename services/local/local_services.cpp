// From a plan to command lines.
#include "services/local/local_services.hpp"

#include <unistd.h>

#include <algorithm>
#include <random>

#include "core/check.hpp"
#include "services/runtime/config/config_keys.hpp"
#include "services/runtime/machine.hpp"

namespace troupe::services {
namespace {

constexpr std::string_view kLoopback = "127.0.0.1:";

/// Keys that the service has no use for are left out: it would not know their flags.
void add_flag(ChildSpec& spec, std::string_view key, const std::string& value) {
  const auto* known = find_config_key(key);
  TROUPE_CHECK(known != nullptr, "a key of the configuration table");
  for (const auto role :
       {ServiceRole::gateway, ServiceRole::attention, ServiceRole::router, ServiceRole::expert})
    if (spec.arguments.front() == to_string(role) && (known->roles & only(role)) != 0) {
      spec.arguments.push_back(known->flag());
      spec.arguments.push_back(value);
    }
}

/// The share of one of `services` that compute together: more threads than cores would wait for
/// each other in the middle of an operation.
std::string threads_of(const LocalPlan& plan, int services) {
  const int threads = plan.threads > 0 ? plan.threads : cores_allowed();
  return std::to_string(std::max(1, threads / services));
}

/// Services of that role.
int count_of(const LocalPlan& plan, const std::string& role) {
  if (role == "expert") return plan.experts;
  return role == "attention" ? plan.attention : plan.routers;
}

bool has_setting(const LocalPlan& plan, std::string_view name) {
  return std::any_of(plan.settings.begin(), plan.settings.end(),
                     [&](const auto& setting) { return setting.first == name; });
}

/// One service with what all of them are told.
ChildSpec service(const LocalPlan& plan, const std::string& role, int index) {
  ChildSpec spec{role + " " + std::to_string(index), {role}};
  if (!plan.model.empty()) add_flag(spec, "model.path", plan.model);
  add_flag(spec, "cluster.name", plan.cluster_name);
  add_flag(spec, "cluster.join_token_file", plan.join_token_file);
  add_flag(spec, "cluster.routers", router_list(plan));
  add_flag(spec, "router.placement", plan.colocated ? "colocated" : "separate");
  if (role != "gateway") {
    add_flag(spec, "ops.listen", std::string(kLoopback) + "0");
    if (!has_setting(plan, "engine.threads"))
      add_flag(spec, "engine.threads", threads_of(plan, count_of(plan, role)));
  }
  for (const auto& [key, value] : plan.settings) add_flag(spec, key, value);
  return spec;
}

void listen_for_control(const LocalPlan& plan, ChildSpec& spec, int router) {
  add_flag(spec, "control.listen",
           std::string(kLoopback) +
               std::to_string(plan.control_ports.at(static_cast<std::size_t>(router))));
}

}  // namespace

Expected<LocalPlan> with_identity(LocalPlan plan) {
  std::random_device random;
  plan.cluster_name = "local-" + std::to_string(::getpid()) + "-" + std::to_string(random());
  std::string token;
  for (int i = 0; i < 8; ++i) token += std::to_string(random()) + "-";
  auto file = inherited_file(token);
  if (!file) return unexpected(file.error());
  plan.join_token_file = *file;
  if (plan.colocated) plan.routers = plan.attention;
  while (plan.control_ports.size() < static_cast<std::size_t>(plan.routers)) {
    auto held = hold_for_listener({"127.0.0.1", 0});
    if (!held) return unexpected(held.error());
    plan.control_ports.push_back(port_of(held->front()));
    plan.held_ports.push_back(std::move(held->front()));
  }
  return plan;
}

std::string router_list(const LocalPlan& plan) {
  std::string list;
  for (const auto port : plan.control_ports) {
    if (!list.empty()) list += ',';
    list.append(kLoopback).append(std::to_string(port));
  }
  return list;
}

std::vector<ChildSpec> local_services(const LocalPlan& plan) {
  std::vector<ChildSpec> services;
  const std::string ranks = std::to_string(plan.experts);
  for (int i = 0; i < plan.routers && !plan.colocated; ++i) {
    auto& spec = services.emplace_back(service(plan, "router", i));
    add_flag(spec, "router.index", std::to_string(i));
    add_flag(spec, "expert.ranks", ranks);
    listen_for_control(plan, spec, i);
  }
  for (int i = 0; i < plan.attention; ++i) {
    auto& spec = services.emplace_back(service(plan, "attention", i));
    add_flag(spec, "attention.index", std::to_string(i));
    add_flag(spec, "expert.ranks", ranks);
    if (plan.colocated) listen_for_control(plan, spec, i);
  }
  for (int i = 0; i < plan.experts; ++i) {
    auto& spec = services.emplace_back(service(plan, "expert", i));
    add_flag(spec, "expert.rank", std::to_string(i));
    add_flag(spec, "expert.ranks", ranks);
  }
  if (!plan.gateway.empty()) {
    auto& spec = services.emplace_back(service(plan, "gateway", 0));
    for (const auto& [key, value] : plan.gateway) add_flag(spec, key, value);
  }
  return services;
}

}  // namespace troupe::services
