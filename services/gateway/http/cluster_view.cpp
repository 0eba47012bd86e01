// Reports and loads as JSON.
#include "services/gateway/http/cluster_view.hpp"

#include "services/gateway/http/json_tree.hpp"

namespace troupe::services::http {
namespace {

constexpr std::chrono::milliseconds kAgeMax{500};

double seconds(std::chrono::duration<double> time) { return time.count(); }

JsonValue member(const actors::MemberReport& report) {
  const actors::PeerId peer = report.entry.peer;
  JsonObject out;
  out.add("role", std::string(to_string(actors::role_of(peer))))
      .add("index", static_cast<std::int64_t>(actors::index_of(peer)))
      .add("state", std::string(to_string(report.entry.state)))
      .add("load_progress", report.last_beat.load_progress)
      .add("queued_rows", static_cast<std::int64_t>(report.last_beat.queued_rows))
      .add("oldest_work_s", seconds(std::chrono::microseconds(report.last_beat.oldest_work_us)))
      .add("silent_s", seconds(report.silent))
      .add("version", report.version);
  if (actors::role_of(peer) == proto::Role::expert)
    out.add(
        "experts",
        JsonObject().add("begin", report.experts.first).add("end", report.experts.last).value());
  return out.value();
}

/// The rows of its MoE layers; dense layers have no experts.
JsonValue load(const actors::ExpertLoad& load, const model::ModelConfig& config) {
  const std::int64_t count = load.held();
  JsonValue::Array layers;
  for (int layer = 0; layer < config.num_layers; ++layer) {
    if (!config.is_moe(layer)) continue;
    const auto row = load.pairs.begin() + layer * count;
    layers.push_back(json_array(std::vector<std::int64_t>(row, row + count)));
  }
  JsonObject out;
  out.add("rank", static_cast<std::int64_t>(actors::index_of(load.peer)))
      .add("first", load.experts.first)
      .add("count", count)
      .add("pairs", std::move(layers));
  return out.value();
}

}  // namespace

Answered<std::string> ClusterView::text() {
  const std::lock_guard lock(mutex_);
  if (!answer_ || clock_() - answered_ >= kAgeMax) {
    answer_ = ask();
    answered_ = clock_();  // it may have taken seconds: those who waited ask for no other
  }
  return *answer_;
}

Answered<std::string> ClusterView::ask() const {
  const auto report = source_.report();
  if (!report) return from_engine(report.error());
  // Members are worth showing without counts, as a director of an older version has none.
  const auto loads = source_.loads();
  const model::ModelConfig& config = model_.model().config();
  JsonValue::Array layers;
  for (int layer = 0; layer < config.num_layers; ++layer)
    if (config.is_moe(layer)) layers.push_back(json(layer));
  JsonValue::Array members;
  for (const auto& one : report->members) members.push_back(member(one));
  JsonValue::Array ranks;
  if (loads)
    for (const auto& one : *loads)
      if (one.is_of(config.num_layers)) ranks.push_back(load(one, config));
  JsonObject out;
  out.add("model", model_.name())
      .add("system_fingerprint", model_.fingerprint())
      .add("term", static_cast<std::int64_t>(report->term))
      .add("epoch", static_cast<std::int64_t>(report->epoch))
      .add("serving", report->serving)
      .add("expert_ranks", static_cast<std::int64_t>(report->expert_ranks))
      .add("experts", static_cast<std::int64_t>(config.routed_experts))
      .add("experts_per_token", static_cast<std::int64_t>(config.experts_per_token))
      .add("layers", std::move(layers))
      .add("members", std::move(members))
      .add("loads", std::move(ranks));
  return out.text();
}

}  // namespace troupe::services::http
