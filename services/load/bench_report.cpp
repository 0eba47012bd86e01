// Figures of a load test, sorted and written.
#include "services/load/bench_report.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "model/config/json_value.hpp"
#include "services/runtime/formatted.hpp"

namespace troupe::services {
namespace {

using model::JsonValue;

struct Row {
  const char* title;
  const char* key;
  const Percentiles& values;
};

std::array<Row, 4> rows_of(const LoadReport& report) {
  return {{{"time to first token", "time_to_first_token_s", report.first_token_s},
           {"between tokens", "inter_token_latency_s", report.gap_s},
           {"per token after first", "time_per_output_token_s", report.per_token_s},
           {"whole request", "request_s", report.whole_s}}};
}

double per_second(std::int64_t count, double seconds) {
  return seconds > 0 ? static_cast<double>(count) / seconds : 0;
}

JsonValue object_of(const Percentiles& values) {
  return {JsonValue::Object{{"count", {static_cast<std::int64_t>(values.count)}},
                            {"mean", {values.mean}},
                            {"p50", {values.p50}},
                            {"p90", {values.p90}},
                            {"p99", {values.p99}},
                            {"max", {values.max}}}};
}

}  // namespace

Percentiles percentiles_of(std::vector<double> values) {
  Percentiles result;
  if (values.empty()) return result;
  std::sort(values.begin(), values.end());
  const auto at = [&](double share) {
    const auto rank = std::ceil(share * static_cast<double>(values.size()));
    return values[static_cast<std::size_t>(std::max(rank, 1.0)) - 1];
  };
  result.count = values.size();
  result.mean =
      std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  result.p50 = at(0.50);
  result.p90 = at(0.90);
  result.p99 = at(0.99);
  result.max = values.back();
  return result;
}

LoadReport summarize(const LoadResult& result) {
  LoadReport report;
  report.duration_s = result.duration_s;
  std::vector<double> first, gaps, per_token, whole;
  for (const RequestOutcome& one : result.outcomes) {
    if (!one.sent) {
      ++report.not_sent;
    } else if (!one.failure.empty()) {
      ++report.failed;
      ++report.failures[one.failure];
    } else {
      ++report.completed;
      report.prompt_tokens += one.prompt_tokens;
      report.generated_tokens += one.generated_tokens;
      whole.push_back(one.whole_s);
      gaps.insert(gaps.end(), one.gaps_s.begin(), one.gaps_s.end());
      if (one.generated_tokens > 0) first.push_back(one.first_token_s);
      if (one.generated_tokens > 1) {
        const auto rest = static_cast<double>(one.generated_tokens - 1);
        per_token.push_back((one.whole_s - one.first_token_s) / rest);
      }
    }
  }
  report.first_token_s = percentiles_of(std::move(first));
  report.gap_s = percentiles_of(std::move(gaps));
  report.per_token_s = percentiles_of(std::move(per_token));
  report.whole_s = percentiles_of(std::move(whole));
  return report;
}

std::string load_table(const LoadReport& report, const std::vector<LoadSetting>& settings) {
  std::string text;
  for (const auto& [name, value] : settings) {
    text += formatted("%-24s%s\n", name.c_str(), value.c_str());
  }
  const auto number = [](std::int64_t value) { return static_cast<long long>(value); };
  text += formatted("%-24s%lld completed, %lld failed, %lld not sent, in %.2f s\n", "requests",
                    number(report.completed), number(report.failed), number(report.not_sent),
                    report.duration_s);
  text += formatted("%-24s%.2f requests/s, %.1f prompt tok/s, %.1f generated tok/s\n\n",
                    "throughput", per_second(report.completed, report.duration_s),
                    per_second(report.prompt_tokens, report.duration_s),
                    per_second(report.generated_tokens, report.duration_s));
  text +=
      formatted("%-24s%10s%10s%10s%10s%10s\n", "milliseconds", "mean", "p50", "p90", "p99", "max");
  for (const Row& row : rows_of(report)) {
    const Percentiles& v = row.values;
    text += formatted("%-24s%10.2f%10.2f%10.2f%10.2f%10.2f\n", row.title, v.mean * 1e3, v.p50 * 1e3,
                      v.p90 * 1e3, v.p99 * 1e3, v.max * 1e3);
  }
  for (const auto& [failure, count] : report.failures) {
    text += formatted("\n%lld failed: ", number(count)) + failure + "\n";
  }
  return text;
}

std::string load_json(const LoadReport& report, const std::vector<LoadSetting>& settings) {
  JsonValue::Object how, failures, out;
  for (const auto& [name, value] : settings) how.push_back({name, {value}});
  for (const auto& [failure, count] : report.failures) failures.push_back({failure, {count}});
  const auto add = [&out](const char* key, JsonValue value) {
    out.push_back({key, std::move(value)});
  };
  add("settings", {std::move(how)});
  add("completed", {report.completed});
  add("failed", {report.failed});
  add("not_sent", {report.not_sent});
  add("failures", {std::move(failures)});
  add("duration_s", {report.duration_s});
  add("prompt_tokens", {report.prompt_tokens});
  add("generated_tokens", {report.generated_tokens});
  add("requests_per_s", {per_second(report.completed, report.duration_s)});
  add("generated_tokens_per_s", {per_second(report.generated_tokens, report.duration_s)});
  for (const Row& row : rows_of(report)) add(row.key, object_of(row.values));
  return model::to_json({std::move(out)}, 2) + "\n";
}

}  // namespace troupe::services
