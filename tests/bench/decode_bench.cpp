// Decode of one sequence: bytes of weights touched per second against this machine's read
// bandwidth.
//   TROUPE_BENCH_MODEL=DIR bench_decode        (DIR: make_model.py --preset bench-200m)
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdlib>
#include <future>
#include <memory>
#include <optional>
#include <vector>

#include "actors/local_cluster.hpp"
#include "kernels/probe.hpp"
#include "tests/support/local_forward.hpp"

namespace troupe {
namespace {

constexpr std::int64_t kContext = 128;     // positions that are in the cache when timing starts
constexpr std::int64_t kSliceTokens = 64;  // timed between two looks at the limit

// Bytes of weights one decoded token reads: every matrix of the attention shard but the embedding,
// the gates, and experts_per_token of the routed experts.
double bytes_per_token(const model::Checkpoint& checkpoint) {
  const auto& config = checkpoint.config();
  const auto ends_with = [](std::string_view name, std::string_view end) {
    return name.size() >= end.size() && name.substr(name.size() - end.size()) == end;
  };
  const std::string mtp = "model.layers." + std::to_string(config.num_layers) + ".";
  double bytes = 0;
  for (const auto& tensor : checkpoint.tensors()) {
    const std::string_view name = tensor.name;
    if (name.starts_with(mtp) || name == "model.embed_tokens.weight") continue;
    double share = 1;
    if (name.find(".mlp.experts.") != std::string_view::npos)
      share = static_cast<double>(config.experts_per_token) / config.routed_experts;
    // The absorbed form reads W_UK and W_UV as BF16 instead of the stored kv_b_proj.
    if (ends_with(name, "kv_b_proj.weight")) share = tensor.dtype == DType::f8_e4m3 ? 2 : 1;
    bytes += share * static_cast<double>(tensor.bytes);
  }
  return bytes;
}

std::optional<model::Checkpoint> open_model(benchmark::State& bench) {
  const char* dir = std::getenv("TROUPE_BENCH_MODEL");
  if (dir == nullptr) {
    bench.SkipWithError("TROUPE_BENCH_MODEL names no checkpoint");
    return std::nullopt;
  }
  auto checkpoint = model::Checkpoint::open(dir);
  if (checkpoint) return std::move(*checkpoint);
  bench.SkipWithError(checkpoint.error().detail.c_str());
  return std::nullopt;
}

// Rates of single slices, each with the read bandwidth measured right after it: that of a shared
// machine moves by a half within seconds, so a share is of one moment and the middle one counts.
class Slices {
 public:
  Slices(const model::Checkpoint& checkpoint, const kernels::Engine& engine)
      : bytes_(bytes_per_token(checkpoint)), engine_(engine) {}

  void add(double tokens_per_second) {
    const double limit = kernels::read_bandwidth_gbs(engine_);
    tokens_per_second_.push_back(tokens_per_second);
    limits_.push_back(limit);
    shares_.push_back(bytes_ * tokens_per_second / 1e9 / limit);
  }
  void report(benchmark::State& bench) {
    bench.counters["tokens/s"] = median(tokens_per_second_);
    bench.counters["limit GB/s"] = median(limits_);
    bench.counters["share of limit"] = median(shares_);
    bench.counters["least"] = *std::min_element(shares_.begin(), shares_.end());
    bench.counters["most"] = *std::max_element(shares_.begin(), shares_.end());
  }

 private:
  static double median(std::vector<double> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
  }

  double bytes_;
  kernels::Engine engine_;
  std::vector<double> tokens_per_second_, limits_, shares_;
};

// The functions of model/ called one after the other.
void decode_model(benchmark::State& bench) {
  const auto checkpoint = open_model(bench);
  if (!checkpoint) return;
  kernels::ComputePool pool({.threads = static_cast<int>(bench.range(0)), .jobs_max = 4});
  const kernels::Engine engine{*kernels::select_level("auto"), &pool};
  testing::LocalForward local(*checkpoint, {model::ActivationMode::bf16}, engine);
  testing::LocalSequence sequence(local);
  std::int32_t token = 1;
  for (std::int64_t i = 0; i < kContext; ++i) token = sequence.next(token);
  Slices slices(*checkpoint, engine);
  for (auto _ : bench) {
    const auto start = std::chrono::steady_clock::now();
    for (std::int64_t i = 0; i < kSliceTokens; ++i) token = sequence.next(token);
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    bench.SetIterationTime(elapsed.count());
    slices.add(static_cast<double>(kSliceTokens) / elapsed.count());
  }
  slices.report(bench);
}
BENCHMARK(decode_model)
    ->Arg(1)
    ->Arg(2)
    ->Iterations(9)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

// Waits for one request and remembers when its tokens came.
class Stopwatch : public actors::RequestListener {
 public:
  void on_token(const actors::TokenNews&) override {
    last_ = std::chrono::steady_clock::now();
    if (tokens_++ == 0) first_ = last_;
  }
  void on_finished(actors::FinishReason, const Error&, const actors::Usage&) override {
    done_.set_value();
  }
  void wait() { done_.get_future().wait(); }
  double tokens_per_second() const {
    return static_cast<double>(tokens_ - 1) / std::chrono::duration<double>(last_ - first_).count();
  }

 private:
  std::promise<void> done_;
  std::chrono::steady_clock::time_point first_, last_;
  std::int64_t tokens_ = 0;
};

// The same through session, attention shard, router and expert shard, frames included.
void decode_cluster(benchmark::State& bench) {
  const auto checkpoint = open_model(bench);
  if (!checkpoint) return;
  actors::ClusterSettings settings;
  settings.threads = static_cast<int>(bench.range(0));
  settings.kv_tokens_max = 4096;
  auto cluster = actors::LocalCluster::start(*checkpoint, settings);
  if (!cluster) return bench.SkipWithError(cluster.error().detail.c_str());
  kernels::ComputePool pool({.threads = settings.threads, .jobs_max = 4});
  Slices slices(*checkpoint, {*kernels::select_level("auto"), &pool});
  for (auto _ : bench) {
    actors::GenerateRequest request;
    request.prompt.assign(static_cast<std::size_t>(kContext), 1);
    request.sampling.temperature = 0;
    request.sampling.max_tokens = kSliceTokens + 1;  // the first ends the prompt
    auto stopwatch = std::make_shared<Stopwatch>();
    if (!(*cluster)->submit(std::move(request), stopwatch))
      return bench.SkipWithError("the request was refused");
    stopwatch->wait();
    bench.SetIterationTime(static_cast<double>(kSliceTokens) / stopwatch->tokens_per_second());
    slices.add(stopwatch->tokens_per_second());
  }
  slices.report(bench);
}
BENCHMARK(decode_cluster)
    ->Arg(1)
    ->Arg(2)
    ->Iterations(9)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace troupe

BENCHMARK_MAIN();
