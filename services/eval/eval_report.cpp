// Two or three lines, or one object.
#include "services/eval/eval_report.hpp"

#include <cmath>

#include "model/config/json_value.hpp"
#include "services/runtime/formatted.hpp"

namespace troupe::services {
namespace {

using model::JsonValue;

std::string perplexity_words(const RunningMean& surprise) {
  const Perplexity perplexity = perplexity_of(surprise);
  return formatted("%.4f \u00b1 %.4f", perplexity.value, perplexity.error);
}

std::string span_line(const EvalSpan& span, std::int64_t tokens) {
  return formatted("%lld tokens in %lld windows of %lld", static_cast<long long>(tokens),
                   static_cast<long long>(span.windows),
                   static_cast<long long>(span.window_length));
}

double share_of(std::int64_t part, std::int64_t all) {
  return all == 0 ? 0 : static_cast<double>(part) / static_cast<double>(all);
}

void add_span(JsonValue::Object& out, const EvalSpan& span, std::int64_t tokens) {
  out.push_back({"tokens", {tokens}});
  out.push_back({"windows", {span.windows}});
  out.push_back({"window_length", {span.window_length}});
}

/// Null for what has no number in JSON.
JsonValue finite(double value) { return std::isfinite(value) ? JsonValue{value} : JsonValue{}; }

/// "perplexity", "perplexity_error", "nll", each behind `prefix`.
void add_perplexity(JsonValue::Object& out, const std::string& prefix,
                    const RunningMean& surprise) {
  const Perplexity perplexity = perplexity_of(surprise);
  out.push_back({prefix + "perplexity", finite(perplexity.value)});
  out.push_back({prefix + "perplexity_error", finite(perplexity.error)});
  out.push_back({prefix + "nll", {surprise.mean()}});
}

std::string object_text(JsonValue::Object members) {
  return model::to_json({std::move(members)}, 2) + "\n";
}

}  // namespace

Perplexity perplexity_of(const RunningMean& surprise) {
  const double value = std::exp(surprise.mean());
  return {value, value * surprise.error()};
}

std::string perplexity_text(const PerplexityResult& result) {
  return "perplexity " + perplexity_words(result.surprise) + "\n" +
         span_line(result.span, result.surprise.count()) +
         formatted(", mean -log p %.6f nats\n", result.surprise.mean());
}

std::string perplexity_json(const PerplexityResult& result) {
  JsonValue::Object out{{"model", {result.model}}};
  add_span(out, result.span, result.surprise.count());
  add_perplexity(out, "", result.surprise);
  return object_text(std::move(out));
}

std::string kl_text(const KlResult& result) {
  return formatted("mean KL %.6f \u00b1 %.6f nats, largest %.6f; same top token %.2f%%\n",
                   result.kl.mean(), result.kl.error(), result.kl.largest(),
                   100 * share_of(result.same_top, result.kl.count())) +
         "perplexity " + perplexity_words(result.surprise) + ", reference " +
         perplexity_words(result.reference_surprise) + "\n" +
         span_line(result.span, result.kl.count()) + "\n";
}

std::string kl_json(const KlResult& result) {
  JsonValue::Object out{{"model", {result.model}},
                        {"mode", {result.mode}},
                        {"kv_cache", {result.kv_cache}},
                        {"reference", {result.reference}},
                        {"reference_mode", {result.reference_mode}},
                        {"reference_kv_cache", {result.reference_kv_cache}}};
  add_span(out, result.span, result.kl.count());
  out.push_back({"kl", {result.kl.mean()}});
  out.push_back({"kl_error", {result.kl.error()}});
  out.push_back({"kl_max", {result.kl.largest()}});
  out.push_back({"same_top", {share_of(result.same_top, result.kl.count())}});
  add_perplexity(out, "", result.surprise);
  add_perplexity(out, "reference_", result.reference_surprise);
  return object_text(std::move(out));
}

}  // namespace troupe::services
