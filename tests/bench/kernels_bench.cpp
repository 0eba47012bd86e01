// Kernels against the machine: GB/s and GFLOP/s, and their share of the limit of the same run.
// Every figure comes from the fastest iteration, the limits too: other load on the machine only
// ever adds time. With one thread the clock is that thread's CPU time.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "core/dtype.hpp"
#include "kernels/engine.hpp"
#include "kernels/probe.hpp"

namespace {

using namespace troupe;           // NOLINT
using namespace troupe::kernels;  // NOLINT

constexpr std::int64_t kPoolBytes = 256 << 20;  // many times the level-3 cache

/// An engine with so many threads, the calling one among them (it takes shares too).
struct Machine {
  explicit Machine(int threads) {
    if (threads > 1)
      pool = std::make_unique<ComputePool>(
          ComputePool::Settings{.threads = threads, .with_caller = true});
    engine = {.table = *select_level("auto"), .pool = pool.get()};
    read_gbs = read_bandwidth_gbs(engine);
    peak_gflops = fma_peak_gflops(engine);
  }
  std::unique_ptr<ComputePool> pool;
  Engine engine;
  double read_gbs = 0;
  double peak_gflops = 0;
};

/// Weights of all kinds come from one pool of bytes: e4m3 codes and, as pairs, BF16 of normal
/// size. About as many subnormal codes as real weights have.
const std::byte* pool_bytes() {
  static const std::vector<std::byte> bytes = [] {
    std::vector<std::byte> b(kPoolBytes + 64);
    std::mt19937_64 random(1);
    std::normal_distribution<float> normal(0, 100);
    std::vector<std::byte> some(1 << 20);
    for (std::byte& code : some) code = static_cast<std::byte>(f32_to_e4m3(normal(random)) & 0xbf);
    for (std::size_t i = 0; i < b.size(); i += some.size())
      std::memcpy(b.data() + i, some.data(), std::min(some.size(), b.size() - i));
    return b;
  }();
  return bytes.data();
}

/// Hands out weights from the pool, round and round, so that no cache holds the next one.
class Weights {
 public:
  WeightMatrix next(DType dtype, std::int64_t rows, std::int64_t cols) {
    WeightMatrix w{.dtype = dtype, .rows = rows, .cols = cols};
    if (at_ + w.bytes() > kPoolBytes) at_ = 0;
    w.data = pool_bytes() + at_;
    at_ += w.bytes();
    if (dtype == DType::f8_e4m3) w.scales = scales_.data();
    return w;
  }

 private:
  std::int64_t at_ = 0;
  std::vector<float> scales_ = std::vector<float>(1 << 16, 0.01f);
};

std::vector<float> random_rows(std::int64_t n) {
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  std::vector<float> x(static_cast<std::size_t>(n));
  for (float& v : x) v = round_to_bf16(normal(random));
  return x;
}

/// Runs the benchmark's loop and returns the seconds of its fastest iteration.
template <class Body>
double fastest(benchmark::State& state, const Engine& engine, const Body& body) {
  double best = 1e300;
  for (auto _ : state) {
    const double start = probe_seconds(engine);
    body();
    best = std::min(best, probe_seconds(engine) - start);
  }
  return best;
}

void report_read(benchmark::State& state, const Machine& machine, double bytes, double seconds) {
  state.counters["GB/s"] = bytes / seconds * 1e-9;
  state.counters["limit"] = machine.read_gbs;
  state.counters["share"] = bytes / seconds * 1e-9 / machine.read_gbs;
}

void report_flops(benchmark::State& state, const Machine& machine, double flops, double seconds) {
  state.counters["GFLOP/s"] = flops / seconds * 1e-9;
  state.counters["limit"] = machine.peak_gflops;
  state.counters["share"] = flops / seconds * 1e-9 / machine.peak_gflops;
}

/// Seconds of x [m, k] through one matrix [n, k]: args are threads, n, k, m.
double linear_seconds(benchmark::State& state, const Machine& machine, Weights& weights,
                      DType dtype) {
  const std::int64_t n = state.range(1);
  const std::int64_t k = state.range(2);
  const std::int64_t m = state.range(3);
  const std::vector<float> x = random_rows(m * k);
  std::vector<float> y(static_cast<std::size_t>(m * n));
  return fastest(state, machine.engine, [&] {
    machine.engine.linear({.x = x.data(),
                           .x_stride = k,
                           .w = weights.next(dtype, n, k),
                           .y = y.data(),
                           .y_stride = n,
                           .tokens = m});
  });
}

void decode(benchmark::State& state, DType dtype) {
  const Machine machine(static_cast<int>(state.range(0)));
  Weights weights;
  const auto bytes =
      static_cast<double>(weights.next(dtype, state.range(1), state.range(2)).bytes());
  report_read(state, machine, bytes, linear_seconds(state, machine, weights, dtype));
}

void prefill(benchmark::State& state, DType dtype) {
  const Machine machine(static_cast<int>(state.range(0)));
  Weights weights;
  const auto macs = static_cast<double>(state.range(1) * state.range(2) * state.range(3));
  report_flops(state, machine, 2.0 * macs, linear_seconds(state, machine, weights, dtype));
}

/// All linears of one token of make_model.py's bench-200m, in the model's order and groups.
class Bench200m {
 public:
  explicit Bench200m(const Engine& engine) : engine_(engine) {
    for (auto* row : {&x_, &y_}) row->assign(40000, 0.5f);
  }

  /// Bytes of weights touched.
  double token() {
    bytes_ = 0;
    for (int layer = 0; layer < 8; ++layer) {
      attention();
      feed_forward(layer == 0 ? 4096 : 256);  // dense, or the shared expert
      if (layer > 0) experts();
    }
    run({{DType::bf16, 32000, 512}});  // head
    return bytes_;
  }

 private:
  struct Shape {
    DType dtype;
    std::int64_t rows;
    std::int64_t cols;
  };
  void attention() {
    run({{DType::f8_e4m3, 512, 512}, {DType::f8_e4m3, 576, 512}});  // q_a, kv_a
    run({{DType::f8_e4m3, 16 * 192, 512}});                         // q_b
    run(std::vector<Shape>(16, {DType::bf16, 512, 128}));           // W_UK of each head
    run(std::vector<Shape>(16, {DType::bf16, 128, 512}));           // W_UV
    run({{DType::f8_e4m3, 512, 2048}});                             // o
  }
  void feed_forward(std::int64_t width) {
    run({{DType::f8_e4m3, width, 512}, {DType::f8_e4m3, width, 512}});
    run({{DType::f8_e4m3, 512, width}});
  }
  void experts() {
    run({{DType::bf16, 64, 512}});                            // gate
    run(std::vector<Shape>(12, {DType::f8_e4m3, 256, 512}));  // gate and up of 6 experts
    run(std::vector<Shape>(6, {DType::f8_e4m3, 512, 256}));   // down
  }
  void run(const std::vector<Shape>& shapes) {
    std::vector<LinearArgs> group;
    float* y = y_.data();
    for (const Shape& s : shapes) {
      group.push_back({.x = x_.data(),
                       .x_stride = s.cols,
                       .w = weights_.next(s.dtype, s.rows, s.cols),
                       .y = y,
                       .y_stride = s.rows,
                       .tokens = 1});
      bytes_ += static_cast<double>(group.back().w.bytes());
      y += s.rows;
    }
    engine_.linears(group);
  }

  Engine engine_;
  Weights weights_;
  std::vector<float> x_;
  std::vector<float> y_;
  double bytes_ = 0;
};

void decode_bench_200m(benchmark::State& state) {
  const Machine machine(static_cast<int>(state.range(0)));
  Bench200m model(machine.engine);
  double bytes = 0;
  const double seconds = fastest(state, machine.engine, [&] { bytes = model.token(); });
  report_read(state, machine, bytes, seconds);
  state.counters["MB/token"] = bytes * 1e-6;
}

/// One row of one sequence: args are threads, heads, context.
void attention(benchmark::State& state) {
  const Machine machine(static_cast<int>(state.range(0)));
  const std::int64_t heads = state.range(1);
  const std::int64_t context = state.range(2);
  constexpr std::int64_t kLatent = 512;
  constexpr std::int64_t kRope = 64;
  std::vector<const void*> pages;
  for (std::int64_t p = 0; p < context / kPageTokens; ++p)
    pages.push_back(pool_bytes() + p * kPageTokens * (kLatent + kRope) * 2);
  const std::vector<float> q = random_rows(heads * (kLatent + kRope));
  std::vector<float> o(static_cast<std::size_t>(heads * kLatent));
  const MlaAttentionArgs args{.q = q.data(),
                              .pages = pages.data(),
                              .o = o.data(),
                              .rows = 1,
                              .heads = heads,
                              .latent = kLatent,
                              .rope = kRope,
                              .first_position = context - 1,
                              .scale = 0.01f};
  const double seconds =
      fastest(state, machine.engine, [&] { machine.engine.mla_attention(std::span(&args, 1)); });
  report_flops(state, machine, 2.0 * static_cast<double>(heads * context * (2 * kLatent + kRope)),
               seconds);
}

/// An operation small enough to be all overhead: what handing out shares costs.
void hand_out(benchmark::State& state) {
  const Machine machine(static_cast<int>(state.range(0)));
  for (auto _ : state)
    machine.engine.pool->parallel_for(state.range(0), 1, [](std::int64_t, std::int64_t) {});
}

void limits(benchmark::State& state) {
  for (auto _ : state) {
    const Machine machine(static_cast<int>(state.range(0)));
    state.counters["read GB/s"] = machine.read_gbs;
    state.counters["FMA GFLOP/s"] = machine.peak_gflops;
  }
}

void shapes_decode(benchmark::internal::Benchmark* b) {
  for (const int threads : {1, 2})
    for (const auto& [n, k] : {std::pair{2048, 7168}, {7168, 2048}, {3072, 512}, {512, 2048}})
      for (const int m : {1, 2}) b->Args({threads, n, k, m});
  b->UseRealTime()->ArgNames({"threads", "N", "K", "M"})->Unit(benchmark::kMicrosecond);
}
void shapes_prefill(benchmark::internal::Benchmark* b) {
  for (const int threads : {1, 2})
    for (const auto& [n, k] : {std::pair{2048, 7168}, {3072, 512}})
      for (const int m : {3, 4, 6, 8, 16, 128}) b->Args({threads, n, k, m});
  b->UseRealTime()->ArgNames({"threads", "N", "K", "M"})->Unit(benchmark::kMillisecond);
}

BENCHMARK(limits)->Arg(1)->Arg(2)->Iterations(1)->ArgName("threads");
BENCHMARK(hand_out)->Arg(2)->UseRealTime()->ArgName("threads");
BENCHMARK_CAPTURE(decode, fp8, DType::f8_e4m3)->Apply(shapes_decode);
BENCHMARK_CAPTURE(decode, bf16, DType::bf16)->Apply(shapes_decode);
BENCHMARK(decode_bench_200m)
    ->Arg(1)
    ->Arg(2)
    ->UseRealTime()
    ->ArgName("threads")
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(prefill, fp8, DType::f8_e4m3)->Apply(shapes_prefill);
BENCHMARK_CAPTURE(prefill, bf16, DType::bf16)->Apply(shapes_prefill);
BENCHMARK(attention)
    ->ArgsProduct({{1, 2}, {16, 128}, {256, 4096}})
    ->ArgNames({"threads", "heads", "context"})
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

}  // namespace

BENCHMARK_MAIN();
