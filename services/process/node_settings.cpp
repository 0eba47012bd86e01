// Copies keys to settings; the secret is read here and goes nowhere else.
#include "services/process/node_settings.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "kernels/registry.hpp"

namespace troupe::services {
namespace {

constexpr std::size_t kTokenBytesMax = 64 << 10;

actors::Endpoint endpoint(const Address& address) { return {address.host, address.port}; }

actors::Transport transport_named(const std::string& lanes) {
  if (lanes == "shm") return actors::Transport::shm;
  if (lanes == "tcp") return actors::Transport::tcp;
  return actors::Transport::automatic;
}

std::vector<std::pair<std::string, std::string>> named_values(
    const std::vector<std::string>& options) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const std::string& option : options) {
    const auto equals = option.find('=');
    pairs.emplace_back(option.substr(0, equals), option.substr(equals + 1));
  }
  return pairs;
}

/// Names of the variables UCX_NAME that are set, without the prefix.
std::vector<std::string> ucx_variables() {
  constexpr std::string_view kPrefix = "UCX_";
  std::vector<std::string> names;
  for (char** entry = ::environ; entry != nullptr && *entry != nullptr; ++entry) {
    std::string_view name(*entry);
    name = name.substr(0, name.find('='));
    if (name.starts_with(kPrefix)) names.emplace_back(name.substr(kPrefix.size()));
  }
  return names;
}

Expected<actors::ClusterSettings> engine_settings(const ServiceConfig& config) {
  const auto table = kernels::select_level(config.engine.level);
  if (!table) return unexpected(table.error());
  const auto kv_cache = model::parse_kv_cache(config.engine.kv_cache);
  if (!kv_cache) return unexpected(kv_cache.error());
  actors::ClusterSettings engine;
  engine.kv_cache = *kv_cache;
  engine.table = *table;
  engine.threads = static_cast<int>(config.engine.threads);
  engine.pin_threads = config.engine.pin_threads;
  engine.chunk = config.engine.chunk_tokens;
  engine.step_rows_max = config.engine.step_rows_max;
  engine.prompt_budget = config.engine.prompt_budget;
  engine.frame_rows_max = config.engine.frame_rows_max;
  engine.poll_us = config.engine.poll;
  engine.kv_tokens_max = config.attention.kv_tokens_max;
  engine.prefix_cache = config.attention.prefix_cache == "on";
  engine.micro_batches = actors::micro_batching_of(config.attention.micro_batches);
  engine.waiting_max = static_cast<std::size_t>(config.attention.waiting_max);
  engine.credits = {static_cast<std::uint32_t>(config.transport.credit_decode_rows),
                    static_cast<std::uint32_t>(config.transport.credit_prefill_rows)};
  engine.hop_budget = config.budget.hop;
  engine.uncovered_budget = config.budget.uncovered;
  return engine;
}

}  // namespace

proto::Role role_of(ServiceRole role) {
  switch (role) {
    case ServiceRole::gateway: return proto::Role::gateway;
    case ServiceRole::attention: return proto::Role::attention;
    case ServiceRole::router: return proto::Role::router;
    case ServiceRole::expert: return proto::Role::expert;
  }
  return proto::Role::gateway;
}

std::int64_t index_of(const ServiceConfig& config, ServiceRole role) {
  switch (role) {
    case ServiceRole::gateway: return config.gateway.index;
    case ServiceRole::attention: return config.attention.index;
    case ServiceRole::router: return config.router.index;
    case ServiceRole::expert: return config.expert.rank;
  }
  return 0;
}

Expected<std::string> read_join_token(const std::string& file) {
  if (file.empty()) return std::string();
  const std::string where = "cluster.join_token_file " + file;
  errno = 0;
  std::ifstream stream(file, std::ios::binary);
  std::string token(kTokenBytesMax + 1, '\0');
  stream.read(token.data(), static_cast<std::streamsize>(token.size()));
  token.resize(static_cast<std::size_t>(stream.gcount()));
  if (token.empty() && errno != 0)
    return unexpected(Errc::not_found, where + " cannot be read: " + std::strerror(errno));
  token.erase(token.find_last_not_of(" \t\r\n") + 1);
  if (token.empty()) return unexpected(Errc::invalid_argument, where + " has no text in it");
  if (token.size() > kTokenBytesMax)
    return unexpected(Errc::invalid_argument, where + " is longer than 64 KiB");
  return token;
}

Expected<actors::NodeSettings> node_settings(const ServiceConfig& config, ServiceRole role) {
  auto engine = engine_settings(config);
  if (!engine) return unexpected(engine.error());
  auto token = read_join_token(config.cluster.join_token_file);
  if (!token) return unexpected(token.error());
  actors::NodeSettings settings;
  settings.role = role_of(role);
  settings.index = static_cast<std::uint32_t>(index_of(config, role));
  settings.expert_ranks = static_cast<std::uint32_t>(config.expert.ranks);
  settings.routers_count = static_cast<std::uint32_t>(config.cluster.routers.size());
  settings.colocated_router =
      role == ServiceRole::attention && config.router.placement == "colocated";
  for (const Address& router : config.cluster.routers) settings.routers.push_back(endpoint(router));
  settings.control_listen = endpoint(config.control.listen);
  settings.cluster_name = config.cluster.name;
  settings.join_token = *std::move(token);
  settings.version = TROUPE_VERSION;
  settings.transport = transport_named(config.transport.lanes);
  settings.ucx_options = named_values(config.transport.ucx_options);
  settings.ucx_set_by_user = ucx_variables();
  settings.lost_after = config.cluster.lost_after;
  settings.beat_busy = config.cluster.beat_busy;
  settings.beat_idle = config.cluster.beat_idle;
  settings.engine = *std::move(engine);
  return settings;
}

}  // namespace troupe::services
