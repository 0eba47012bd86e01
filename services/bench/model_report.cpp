// Rates and shares from seconds and work.
#include "services/bench/model_report.hpp"

#include "model/config/json_value.hpp"
#include "services/runtime/formatted.hpp"

namespace troupe::services {
namespace {

using model::JsonValue;

JsonValue fraction(double value, double limit) {
  if (limit <= 0) return {};
  return {value / limit};
}

/// Runs of the work per second.
double per_second(const ModelResult& result) {
  return mean_deviation(result.tokens_per_s()).mean /
         static_cast<double>(result.test.tokens_total());
}

JsonValue model_object(const ModelResult& result) {
  const auto rates = result.tokens_per_s();
  const MeanDeviation spread = mean_deviation(rates);
  JsonValue::Array samples;
  for (const double rate : rates) samples.push_back({rate});
  const auto tokens = static_cast<double>(result.test.tokens_total());
  JsonValue::Object out;
  const auto add = [&out](const char* key, JsonValue value) {
    out.push_back({key, std::move(value)});
  };
  add("test", {result.test.name()});
  add("batch", {result.test.sequences});
  add("depth", {result.test.depth});
  add("threads", {std::int64_t{result.limits.threads}});
  add("level", {result.limits.level});
  add("tokens_per_s", {spread.mean});
  add("tokens_per_s_deviation", {spread.deviation});
  add("samples", {std::move(samples)});
  add("bytes_per_token", {result.work.bytes() / tokens});
  add("cache_bytes_per_token", {result.work.cache_bytes / tokens});
  add("flops_per_token", {result.work.flops / tokens});
  add("gb_per_s", {result.gb_per_s()});
  add("gflops", {result.gflops()});
  add("read_gb_per_s", {result.limits.read_gbs});
  add("fma_gflops", {result.limits.fma_gflops});
  add("read_share", fraction(result.gb_per_s(), result.limits.read_gbs));
  add("cache_read_share", fraction(result.cache_gb_per_s(), result.limits.read_gbs));
  add("fma_share", fraction(result.gflops(), result.limits.fma_gflops));
  add("peak_share", result.peak_share() > 0 ? JsonValue{result.peak_share()} : JsonValue());
  return {std::move(out)};
}

}  // namespace

std::vector<double> ModelResult::tokens_per_s() const {
  std::vector<double> rates;
  for (const double seconds : repetitions)
    rates.push_back(static_cast<double>(test.tokens_total()) / seconds);
  return rates;
}

double ModelResult::gb_per_s() const { return work.bytes() * per_second(*this) * 1e-9; }
double ModelResult::cache_gb_per_s() const { return work.cache_bytes * per_second(*this) * 1e-9; }
double ModelResult::gflops() const { return work.flops * per_second(*this) * 1e-9; }

double ModelResult::peak_share() const {
  if (limits.fma_gflops <= 0 || limits.bf16_gflops <= 0 || limits.int8_gops <= 0) return 0;
  if (work.tile_flops > 0 && limits.tile_gflops <= 0) return 0;
  const double f32 = work.flops - work.bf16_flops - work.tile_flops - work.int8_flops;
  const double least = f32 / limits.fma_gflops + work.bf16_flops / limits.bf16_gflops +
                       work.int8_flops / limits.int8_gops +
                       (work.tile_flops > 0 ? work.tile_flops / limits.tile_gflops : 0);
  return least * per_second(*this) * 1e-9;
}

std::string model_table_head(const ModelRun& run) {
  const std::string cache = run.kv_cache == "auto" ? "" : ", KV cache " + run.kv_cache;
  const std::string seed =
      "seed " + std::to_string(run.seed) + ", mode " + run.mode + cache + "\n\n";
  return seed +
         formatted("| %-20s | %10s | %8s | %7s | %5s | %15s | %20s | %6s | %6s | %6s |\n", "model",
                   "size", "params", "threads", "batch", "test", "t/s", "read", "cache", "peak") +
         "| -------------------- | ---------: | -------: | ------: | ----: | --------------: | "
         "-------------------: | -----: | -----: | -----: |\n";
}

std::string model_table_line(const ModelRun& run, const ModelResult& result) {
  const MeanDeviation rate = mean_deviation(result.tokens_per_s());
  return formatted(
      "| %-20.20s | %6.2f GiB | %6.2f B | %7d | %5lld | %15s "
      "| %9.2f \u00b1 %8.2f | %6s | %6s | %6s |\n",
      run.model.c_str(), static_cast<double>(run.weight_bytes) / (1 << 30),
      run.parameters.total * 1e-9, result.limits.threads,
      static_cast<long long>(result.test.sequences), result.test.name().c_str(), rate.mean,
      rate.deviation, share_text(result.gb_per_s(), result.limits.read_gbs).c_str(),
      share_text(result.cache_gb_per_s(), result.limits.read_gbs).c_str(),
      share_text(result.peak_share(), 1).c_str());
}

std::string model_json(const ModelRun& run, const std::vector<ModelResult>& results) {
  JsonValue::Array list;
  for (const ModelResult& result : results) list.push_back(model_object(result));
  JsonValue::Object out{
      {"model", {run.model}},
      {"weight_bytes", {run.weight_bytes}},
      {"parameters", {static_cast<std::int64_t>(run.parameters.total)}},
      {"parameters_per_token", {static_cast<std::int64_t>(run.parameters.per_token)}},
      {"mode", {run.mode}},
      {"kv_cache", {run.kv_cache}},
      {"seed", {run.seed}},
      {"results", {std::move(list)}}};
  return model::to_json({std::move(out)}, 2) + "\n";
}

}  // namespace troupe::services
