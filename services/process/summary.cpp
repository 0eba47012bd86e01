// Facts as words.
#include "services/process/summary.hpp"

#include <unistd.h>

#include <sstream>

#include "model/checkpoint/transposed_weight.hpp"
#include "services/runtime/machine.hpp"

namespace troupe::services {
namespace {

std::string service_text(const SummaryFacts& facts) {
  std::ostringstream text;
  text << to_string(facts.order.role) << ' ' << facts.settings.index;
  if (facts.order.role == ServiceRole::expert) text << " of " << facts.order.config.expert.ranks;
  if (facts.settings.colocated_router) text << ", with router " << facts.settings.index;
  text << ", troupe " << facts.settings.version << ", pid " << ::getpid();
  return text.str();
}

std::string model_text(const SummaryFacts& facts) {
  const auto& config = facts.checkpoint.config();
  std::string text = facts.checkpoint.directory().string() + " as " + facts.served_name + ": " +
                     std::to_string(config.num_layers) + " layers, " +
                     std::to_string(config.routed_experts) + " experts";
  const model::WeightFormat format = config.quantisation.format;
  const bool computes =
      facts.order.role == ServiceRole::expert || facts.order.role == ServiceRole::attention;
  if (computes && model::is_transposed(format))
    text += "; " + std::string(model::to_string(format)) + " layers copied into memory";
  if (facts.order.role != ServiceRole::expert) return text;
  const auto range = model::ExpertModel::range_of(facts.settings.index, facts.settings.expert_ranks,
                                                  config.routed_experts);
  return text + "; " + std::to_string(range.first) + " to " + std::to_string(range.last - 1) +
         " here";
}

/// "int8-act by default for int8 weights", "f32".
std::string mode_text(const SummaryFacts& facts) {
  std::string text(model::to_string(facts.settings.engine.mode));
  if (facts.order.config.engine.mode != "auto") return text;
  const auto format = facts.checkpoint.config().quantisation.format;
  return text + " by default for " + std::string(model::to_string(format)) + " weights";
}

std::string routers_text(const ServiceConfig& config) {
  std::string text;
  for (const Address& router : config.cluster.routers)
    text += (text.empty() ? "" : ", ") + router.text();
  return text;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> summary_lines(const SummaryFacts& facts) {
  const auto& config = facts.order.config;
  const int threads = facts.settings.engine.threads;
  std::vector<std::pair<std::string, std::string>> lines{
      {"process", service_text(facts)},
      {"model", model_text(facts)},
      {"numerics", model::fingerprint(facts.node.numerics_id()) + ", " + mode_text(facts) +
                       ", KV cache " + config.engine.kv_cache + ", " +
                       std::string(facts.settings.engine.table->name) + ", " +
                       std::to_string(threads > 0 ? threads : cores_allowed()) + " threads"},
      {"cluster", config.cluster.name + ", routers " + routers_text(config) +
                      (facts.settings.join_token.empty() ? ", no join token" : "")},
  };
  if (facts.node.control_port() != 0)
    lines.emplace_back("control",
                       Address{config.control.listen.host, facts.node.control_port()}.text());
  for (const auto& [name, address] : facts.front) lines.emplace_back(name, address);
  lines.emplace_back("ops", "http://" + facts.settings.ops_address + "/readyz /metrics");
  lines.emplace_back("transport", config.transport.lanes);
  lines.emplace_back("drain", std::to_string(config.drain.timeout.count()) + " s after SIGTERM");
  lines.emplace_back("up_in", std::to_string(facts.started_in.count()) + " ms");
  return lines;
}

}  // namespace troupe::services
