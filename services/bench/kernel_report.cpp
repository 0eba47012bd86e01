// One line or one object per result.
#include "services/bench/kernel_report.hpp"

#include "model/config/json_value.hpp"
#include "services/runtime/formatted.hpp"

namespace troupe::services {
namespace {

using model::JsonValue;

JsonValue share_or_null(double value, double limit) {
  if (value <= 0 || limit <= 0) return {};
  return {value / limit};
}

double read_rate(const KernelResult& result) { return result.from_memory ? result.gb_per_s() : 0; }

bool int8_rows(const KernelCase& what) { return what.row_codes() == RowCodes::int8; }

/// Whether its products may be those of BF16 where the level has an instruction for them.
bool multiplies_bf16(const KernelCase& what) {
  const bool linears = what.operation == KernelOperation::linear ||
                       what.operation == KernelOperation::experts ||
                       what.operation == KernelOperation::dense_ffn;
  return linears && (what.dtype() == DType::bf16 || what.dtype() == DType::f8_e4m3);
}

double bf16_peak(const KernelCase& what, const MachineLimits& limits) {
  const bool tiles = what.bf16_sums() == kernels::Bf16Sums::tiles;
  return tiles ? limits.tile_gflops : limits.bf16_gflops;
}

/// What the operation's multiply-adds cannot exceed.
double peak_of(const KernelCase& what, const MachineLimits& limits) {
  if (int8_rows(what)) return limits.int8_gops;
  return multiplies_bf16(what) ? bf16_peak(what, limits) : limits.fma_gflops;
}

/// Its multiply-adds' time at the peaks over the time they took.
double peak_share(const KernelResult& result, const MachineLimits& limits) {
  const double peak = peak_of(result.what, limits);
  if (peak <= 0 || limits.fma_gflops <= 0) return 0;
  return result.gflops() / peak + result.block_flops / result.seconds * 1e-9 / limits.fma_gflops;
}

JsonValue kernel_object(const KernelResult& result, const MachineLimits& limits) {
  const KernelCase& what = result.what;
  const double rate = result.gflops();
  JsonValue::Object out;
  const auto add = [&out](const char* key, JsonValue value) {
    out.push_back({key, std::move(value)});
  };
  add("name", {what.name()});
  add("model", {std::string(what.preset->name)});
  add("operation", {std::string(to_string(what.operation))});
  add("part", {what.part});
  add("dtype", {std::string(traits_of(what.format).name)});
  add("rows", {what.rows});
  add("runs", {result.runs});
  add("seconds", {result.seconds});
  add("bytes", {result.bytes});
  add("flops", {result.flops});
  add("block_flops", {result.block_flops});
  add("gb_per_s", {result.gb_per_s()});
  add("gflops", {result.gflops()});
  add("read_share", share_or_null(read_rate(result), limits.read_gbs));
  const auto share_if = [](bool counts, double done, double limit) {
    return counts ? share_or_null(done, limit) : JsonValue();
  };
  const double all = rate + result.block_flops / result.seconds * 1e-9;
  add("fma_share", share_if(!int8_rows(what), all, limits.fma_gflops));
  add("bf16_share", share_if(multiplies_bf16(what), rate, bf16_peak(what, limits)));
  add("int8_share", share_if(int8_rows(what), rate, limits.int8_gops));
  add("peak_share", share_or_null(peak_share(result, limits), 1));
  return {std::move(out)};
}

}  // namespace

std::string kernel_table_head(const KernelRun& run) {
  const MachineLimits& limits = run.limits;
  const auto named = [&](const char* what, double peak) {
    const bool own = peak > 0 && peak != limits.fma_gflops;
    return own ? std::string(what) + formatted(" %.1f GFLOP/s, ", peak) : std::string();
  };
  return formatted("level %s, threads %d: read %.1f GB/s, FMA %.1f GFLOP/s, %sINT8 %.1f GOP/s\n",
                   limits.level.c_str(), limits.threads, limits.read_gbs, limits.fma_gflops,
                   (named("BF16", limits.bf16_gflops) + named("tiles", limits.tile_gflops)).c_str(),
                   limits.int8_gops) +
         formatted("weights cycle through %lld MiB; the last cache level holds %.1f MiB\n\n",
                   static_cast<long long>(run.pool_bytes >> 20),
                   static_cast<double>(run.cache_bytes) / (1 << 20)) +
         formatted("%-12s%-14s%-12s%-13s%4s%12s%9s%7s%10s%7s\n", "model", "operation", "part",
                   "dtype", "rows", "us", "GB/s", "read", "GFLOP/s", "peak");
}

std::string kernel_table_line(const KernelResult& result, const MachineLimits& limits) {
  const KernelCase& what = result.what;
  const std::string flops = result.flops > 0 ? formatted("%.1f", result.gflops()) : "-";
  return formatted("%-12s%-14s%-12s%-13s%4lld%12.1f%9.2f%7s%10s%7s\n", what.preset->name.data(),
                   to_string(what.operation).data(), what.part.c_str(),
                   traits_of(what.format).name.data(), static_cast<long long>(what.rows),
                   result.seconds * 1e6, result.gb_per_s(),
                   share_text(read_rate(result), limits.read_gbs).c_str(), flops.c_str(),
                   share_text(peak_share(result, limits), 1).c_str());
}

std::string kernels_json(const KernelRun& run, const std::vector<KernelResult>& results) {
  JsonValue::Array list;
  for (const KernelResult& result : results) list.push_back(kernel_object(result, run.limits));
  JsonValue::Object out{{"level", {run.limits.level}},
                        {"threads", {std::int64_t{run.limits.threads}}},
                        {"read_gb_per_s", {run.limits.read_gbs}},
                        {"fma_gflops", {run.limits.fma_gflops}},
                        {"bf16_gflops", {run.limits.bf16_gflops}},
                        {"tile_gflops", {run.limits.tile_gflops}},
                        {"int8_gops", {run.limits.int8_gops}},
                        {"pool_bytes", {run.pool_bytes}},
                        {"cache_bytes", {run.cache_bytes}},
                        {"results", {std::move(list)}}};
  return model::to_json({std::move(out)}, 2) + "\n";
}

}  // namespace troupe::services
