// The candidates for the canonical summation order, measured for ADR 0001 (AVX2, one thread).
// Not part of the product: straight intrinsics, no tails, kept so that the figures can be redone.
#include <benchmark/benchmark.h>
#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

namespace {

constexpr std::int64_t kBlock = 128;
constexpr std::int64_t kWeightBytes = 160 << 20;  // five times the level-3 cache

struct F8 {
  static constexpr int kBytes = 1;
  static __m256 load(const std::byte* p) {  // code * 2^-120
    std::int64_t bits;
    std::memcpy(&bits, p, 8);
    const __m256i c = _mm256_slli_epi32(_mm256_cvtepi8_epi32(_mm_cvtsi64_si128(bits)), 20);
    return _mm256_castsi256_ps(_mm256_and_si256(c, _mm256_set1_epi32(int(0x87f00000u))));
  }
};
struct B16 {
  static constexpr int kBytes = 2;
  static __m256 load(const std::byte* p) {
    const __m128i w = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(w), 16));
  }
};

float add_up(const __m256* v, int n) {
  alignas(32) float t[8];
  __m256 s = v[0];
  for (int i = 1; i < n; ++i) s = _mm256_add_ps(s, v[i]);
  _mm256_store_ps(t, s);
  return ((t[0] + t[4]) + (t[2] + t[6])) + ((t[1] + t[5]) + (t[3] + t[7]));
}

/// Asks for what follows the tile of `rows` rows at column byte `at`.
void prefetch(const std::byte* tile, int rows, std::int64_t row_bytes, std::int64_t at,
              std::int64_t bytes) {
  for (int r = 0; r < rows; ++r)
    for (std::int64_t b = 0; b < bytes; b += 64)
      _mm_prefetch(reinterpret_cast<const char*>(tile + (rows + r) * row_bytes + at + b),
                   _MM_HINT_T0);
}

/// One row of x, lanes over k: V vectors a row, R rows in flight.
template <class T, int V, int R>
void decode_k_lanes(const std::byte* w, std::int64_t n, std::int64_t k, const float* x, float* y) {
  for (std::int64_t row = 0; row + R <= n; row += R) {
    const std::byte* base = w + row * k * T::kBytes;
    __m256 total[R][V] = {};
    for (std::int64_t b = 0; b < k; b += kBlock) {
      prefetch(base, R, k * T::kBytes, b * T::kBytes, kBlock * T::kBytes);
      __m256 raw[R][V] = {};
      for (std::int64_t i = b; i < b + kBlock; i += 8 * V)
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) {
          const __m256 xv = _mm256_loadu_ps(x + i + 8 * v);
#pragma GCC unroll 8
          for (int r = 0; r < R; ++r)
            raw[r][v] =
                _mm256_fmadd_ps(T::load(base + (r * k + i + 8 * v) * T::kBytes), xv, raw[r][v]);
        }
      const __m256 scale = _mm256_set1_ps(T::kBytes == 1 ? 0.5f : 1.0f);
      for (int r = 0; r < R; ++r)
        for (int v = 0; v < V; ++v) total[r][v] = _mm256_fmadd_ps(raw[r][v], scale, total[r][v]);
    }
    for (int r = 0; r < R; ++r) y[row + r] = add_up(total[r], V);
  }
}

/// BF16 has no blocks: the lanes run over all of k.
template <int V, int R>
void decode_k_lanes_plain(const std::byte* w, std::int64_t n, std::int64_t k, const float* x,
                          float* y) {
  for (std::int64_t row = 0; row + R <= n; row += R) {
    const std::byte* base = w + row * k * 2;
    __m256 total[R][V] = {};
    for (std::int64_t i = 0; i < k; i += 8 * V) {
      if (i % kBlock == 0) prefetch(base, R, k * 2, i * 2, kBlock * 2);
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        const __m256 xv = _mm256_loadu_ps(x + i + 8 * v);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r)
          total[r][v] = _mm256_fmadd_ps(B16::load(base + (r * k + i + 8 * v) * 2), xv, total[r][v]);
      }
    }
    for (int r = 0; r < R; ++r) y[row + r] = add_up(total[r], V);
  }
}

/// Lanes over 8 features, weights copied beforehand into panels [k / 4][8 features][4 codes].
void decode_packed_f8(const std::byte* w, std::int64_t n, std::int64_t k, const float* x,
                      float* y) {
  const __m256i mask = _mm256_set1_epi32(int(0x87f00000u));
  for (std::int64_t row = 0; row + 16 <= n; row += 16) {
    __m256 total[2] = {};
    for (std::int64_t b = 0; b < k; b += kBlock) {
      __m256 raw[2][4] = {};
      for (std::int64_t i = b; i < b + kBlock; i += 4)
#pragma GCC unroll 2
        for (int p = 0; p < 2; ++p) {
          const __m256i c =
              _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w + (row + 8 * p) * k + i * 8));
          const auto value = [&](__m256i s) {
            return _mm256_castsi256_ps(_mm256_and_si256(_mm256_srai_epi32(s, 4), mask));
          };
          const auto in = [&](int j) { return _mm256_broadcast_ss(x + i + j); };
          raw[p][0] = _mm256_fmadd_ps(value(_mm256_slli_epi32(c, 24)), in(0), raw[p][0]);
          raw[p][1] = _mm256_fmadd_ps(value(_mm256_slli_epi32(c, 16)), in(1), raw[p][1]);
          raw[p][2] = _mm256_fmadd_ps(value(_mm256_slli_epi32(c, 8)), in(2), raw[p][2]);
          raw[p][3] = _mm256_fmadd_ps(value(c), in(3), raw[p][3]);
        }
      for (int p = 0; p < 2; ++p)
        for (int j = 0; j < 4; ++j)
          total[p] = _mm256_fmadd_ps(raw[p][j], _mm256_set1_ps(0.5f), total[p]);
    }
    for (int p = 0; p < 2; ++p) _mm256_storeu_ps(y + row + 8 * p, total[p]);
  }
}

/// The same lanes over features from the stored row-major layout: one gather per 4 x 8 codes.
void decode_gathered_f8(const std::byte* w, std::int64_t n, std::int64_t k, const float* x,
                        float* y) {
  const __m256i mask = _mm256_set1_epi32(int(0x87f00000u));
  const __m256i rows = _mm256_mullo_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7),
                                          _mm256_set1_epi32(static_cast<int>(k)));
  for (std::int64_t row = 0; row + 8 <= n; row += 8) {
    __m256 total = _mm256_setzero_ps();
    for (std::int64_t b = 0; b < k; b += kBlock) {
      __m256 raw[4] = {};
      for (std::int64_t i = b; i < b + kBlock; i += 4) {
        const __m256i c =
            _mm256_i32gather_epi32(reinterpret_cast<const int*>(w + row * k + i), rows, 1);
        const auto value = [&](__m256i s) {
          return _mm256_castsi256_ps(_mm256_and_si256(_mm256_srai_epi32(s, 4), mask));
        };
        raw[0] = _mm256_fmadd_ps(value(_mm256_slli_epi32(c, 24)), _mm256_set1_ps(x[i]), raw[0]);
        raw[1] = _mm256_fmadd_ps(value(_mm256_slli_epi32(c, 16)), _mm256_set1_ps(x[i + 1]), raw[1]);
        raw[2] = _mm256_fmadd_ps(value(_mm256_slli_epi32(c, 8)), _mm256_set1_ps(x[i + 2]), raw[2]);
        raw[3] = _mm256_fmadd_ps(value(c), _mm256_set1_ps(x[i + 3]), raw[3]);
      }
      for (const __m256& r : raw) total = _mm256_fmadd_ps(r, _mm256_set1_ps(0.5f), total);
    }
    _mm256_storeu_ps(y + row, total);
  }
}

/// Prefill, lanes over k: tiles of 3 rows x 4 features in V passes, 12 rows x 8 features at a time.
/// x and the panel are copied to [chunk][row][128] first, as rows of 28 KB would collide in the
/// cache.
template <class T, int V>
void prefill_k_lanes(const std::byte* w, std::int64_t n, std::int64_t k, const float* x,
                     std::int64_t m, float* y) {
  constexpr std::int64_t kRows = 12, kFeatures = 8;
  alignas(32) static __m256 sums[kRows * kFeatures * V];
  static std::vector<float> panel, rows;
  panel.resize(static_cast<std::size_t>(kFeatures * k));
  rows.resize(static_cast<std::size_t>(m * k));
  for (std::int64_t r = 0; r < m; ++r)
    for (std::int64_t b = 0; b < k; b += kBlock)
      std::memcpy(&rows[(r / kRows * kRows) * k + (b * kRows + r % kRows * kBlock)], x + r * k + b,
                  kBlock * sizeof(float));
  for (std::int64_t f = 0; f < n; f += kFeatures) {
    for (std::int64_t c = 0; c < kFeatures; ++c)
      for (std::int64_t i = 0; i < k; i += 8)
        _mm256_storeu_ps(&panel[i / kBlock * kBlock * kFeatures + c * kBlock + i % kBlock],
                         T::load(w + ((f + c) * k + i) * T::kBytes));
    for (std::int64_t m0 = 0; m0 < m; m0 += kRows) {
      std::memset(sums, 0, sizeof(sums));
      for (std::int64_t b = 0; b < k; b += kBlock)
        for (std::int64_t q = 0; q < kFeatures; q += 4)
          for (std::int64_t r0 = 0; r0 < kRows; r0 += 3)
            for (int v = 0; v < V; ++v) {
              __m256* a = sums + (r0 * kFeatures + q * 3) * V + v * 12;
              __m256 t[12];
              for (int i = 0; i < 12; ++i) t[i] = T::kBytes == 1 ? _mm256_setzero_ps() : a[i];
              const float* xs = &rows[m0 * k + b * kRows + r0 * kBlock + 8 * v];
              const float* ws = &panel[b * kFeatures + q * kBlock + 8 * v];
#pragma GCC unroll 16
              for (std::int64_t i = 0; i < kBlock; i += 8 * V) {
                const __m256 x0 = _mm256_loadu_ps(xs + i);
                const __m256 x1 = _mm256_loadu_ps(xs + kBlock + i);
                const __m256 x2 = _mm256_loadu_ps(xs + 2 * kBlock + i);
#pragma GCC unroll 4
                for (int c = 0; c < 4; ++c) {
                  const __m256 wv = _mm256_loadu_ps(ws + c * kBlock + i);
                  t[3 * c] = _mm256_fmadd_ps(x0, wv, t[3 * c]);
                  t[3 * c + 1] = _mm256_fmadd_ps(x1, wv, t[3 * c + 1]);
                  t[3 * c + 2] = _mm256_fmadd_ps(x2, wv, t[3 * c + 2]);
                }
              }
              const __m256 scale = _mm256_set1_ps(0.5f);
              for (int i = 0; i < 12; ++i)
                a[i] = T::kBytes == 1 ? _mm256_fmadd_ps(t[i], scale, a[i]) : t[i];
            }
      for (std::int64_t q = 0; q < kFeatures; q += 4)
        for (std::int64_t r0 = 0; r0 < kRows; r0 += 3)
          for (int i = 0; i < 12; ++i) {
            __m256 t[V];
            for (int v = 0; v < V; ++v) t[v] = sums[(r0 * kFeatures + q * 3) * V + v * 12 + i];
            y[(m0 + r0 + i % 3) * n + f + q + i / 3] = add_up(t, V);
          }
    }
  }
}

/// Prefill, lanes over features: a panel [k][16 features] in F32, tiles of 6 rows x 16 features.
template <class T>
void prefill_feature_lanes(const std::byte* w, std::int64_t n, std::int64_t k, const float* x,
                           std::int64_t m, float* y) {
  static std::vector<float> panel;
  panel.resize(static_cast<std::size_t>(16 * k));
  for (std::int64_t f = 0; f < n; f += 16) {
    for (std::int64_t c = 0; c < 16; ++c)
      for (std::int64_t i = 0; i < k; i += 8) {
        alignas(32) float t[8];
        _mm256_store_ps(t, T::load(w + ((f + c) * k + i) * T::kBytes));
        for (int j = 0; j < 8; ++j) panel[static_cast<std::size_t>((i + j) * 16 + c)] = t[j];
      }
    for (std::int64_t m0 = 0; m0 + 6 <= m; m0 += 6) {
      __m256 total[6][2] = {};
      for (std::int64_t b = 0; b < k; b += kBlock) {
        __m256 raw[6][2];
        for (int r = 0; r < 6; ++r)
          for (int v = 0; v < 2; ++v)
            raw[r][v] = T::kBytes == 1 ? _mm256_setzero_ps() : total[r][v];
        for (std::int64_t i = b; i < b + kBlock; ++i) {
          const __m256 w0 = _mm256_loadu_ps(panel.data() + i * 16);
          const __m256 w1 = _mm256_loadu_ps(panel.data() + i * 16 + 8);
#pragma GCC unroll 6
          for (int r = 0; r < 6; ++r) {
            const __m256 xv = _mm256_broadcast_ss(x + (m0 + r) * k + i);
            raw[r][0] = _mm256_fmadd_ps(xv, w0, raw[r][0]);
            raw[r][1] = _mm256_fmadd_ps(xv, w1, raw[r][1]);
          }
        }
        for (int r = 0; r < 6; ++r)
          for (int v = 0; v < 2; ++v)
            total[r][v] = T::kBytes == 1
                              ? _mm256_fmadd_ps(raw[r][v], _mm256_set1_ps(0.5f), total[r][v])
                              : raw[r][v];
      }
      for (int r = 0; r < 6; ++r)
        for (int v = 0; v < 2; ++v) _mm256_storeu_ps(y + (m0 + r) * n + f + 8 * v, total[r][v]);
    }
  }
}

const std::vector<std::byte>& weights() {
  static const std::vector<std::byte> bytes = [] {
    std::vector<std::byte> w(kWeightBytes);
    std::mt19937_64 random(1);
    for (std::size_t i = 0; i < w.size(); i += 8) {
      // Clears bit 6 of each byte: neither e4m3 nor BF16 patterns become NaN or huge.
      const std::uint64_t bits = random() & 0xbfbfbfbfbfbfbfbfu;
      std::memcpy(w.data() + i, &bits, 8);
    }
    return w;
  }();
  return bytes;
}

std::vector<float> inputs(std::int64_t n) {
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  std::vector<float> x(static_cast<std::size_t>(n));
  for (float& v : x) v = normal(random) * 0x1p64f;
  return x;
}

void read_bandwidth(benchmark::State& state) {
  constexpr std::size_t kStream = 1 << 18;  // four side by side, as rows of a tile
  const auto& w = weights();
  for (auto _ : state) {
    __m256i sum[4] = {};
    for (std::size_t at = 0; at < w.size(); at += 4 * kStream)
      for (std::size_t i = 0; i < kStream; i += 64)
#pragma GCC unroll 4
        for (std::size_t j = 0; j < 4; ++j) {
          const auto* p = reinterpret_cast<const __m256i*>(w.data() + at + j * kStream + i);
          sum[j] = _mm256_add_epi64(sum[j], _mm256_loadu_si256(p));
          sum[j] = _mm256_add_epi64(sum[j], _mm256_loadu_si256(p + 1));
        }
    benchmark::DoNotOptimize(sum);
  }
  state.SetBytesProcessed(state.iterations() * kWeightBytes);
}

void fma_peak(benchmark::State& state) {
  __m256 a[12];
  for (int i = 0; i < 12; ++i) a[i] = _mm256_set1_ps(float(i));
  __m256 f = _mm256_set1_ps(0.999f);
  benchmark::DoNotOptimize(f);
  for (auto _ : state)
    for (int i = 0; i < 10000; ++i) {
#pragma GCC unroll 12
      for (int j = 0; j < 12; ++j) a[j] = _mm256_fmadd_ps(a[j], f, f);
    }
  __m256 s = a[0];
  for (int i = 1; i < 12; ++i) s = _mm256_add_ps(s, a[i]);
  benchmark::DoNotOptimize(s);
  state.counters["GFLOP/s"] =
      benchmark::Counter(double(state.iterations()) * 10000 * 12 * 16, benchmark::Counter::kIsRate,
                         benchmark::Counter::kIs1000);
}

using Decode = void (*)(const std::byte*, std::int64_t, std::int64_t, const float*, float*);
using Prefill = void (*)(const std::byte*, std::int64_t, std::int64_t, const float*, std::int64_t,
                         float*);

void decode(benchmark::State& state, Decode kernel, int bytes) {
  constexpr std::int64_t kN = 2048, kK = 7168;
  const std::vector<float> x = inputs(kK);
  std::vector<float> y(kN);
  const std::int64_t matrix = kN * kK * bytes;
  const std::int64_t copies = kWeightBytes / matrix;
  std::int64_t i = 0;
  for (auto _ : state) {
    kernel(weights().data() + (i++ % copies) * matrix, kN, kK, x.data(), y.data());
    benchmark::DoNotOptimize(y.data());
  }
  state.SetBytesProcessed(state.iterations() * matrix);
}

void prefill(benchmark::State& state, Prefill kernel) {
  constexpr std::int64_t kN = 256, kK = 7168, kM = 120;
  const std::vector<float> x = inputs(kM * kK);
  std::vector<float> y(kM * kN);
  for (auto _ : state) {
    kernel(weights().data(), kN, kK, x.data(), kM, y.data());
    benchmark::DoNotOptimize(y.data());
  }
  state.counters["GFLOP/s"] = benchmark::Counter(2.0 * double(state.iterations() * kN * kK * kM),
                                                 benchmark::Counter::kIsRate);
}

#define DECODE(name, bytes, ...) BENCHMARK_CAPTURE(decode, name, __VA_ARGS__, bytes)
#define PREFILL(name, ...) BENCHMARK_CAPTURE(prefill, name, __VA_ARGS__)
BENCHMARK(read_bandwidth)->Unit(benchmark::kMillisecond);
BENCHMARK(fma_peak);
DECODE(f8_k_lanes_8, 1, (decode_k_lanes<F8, 1, 6>));
DECODE(f8_k_lanes_16, 1, (decode_k_lanes<F8, 2, 4>));
DECODE(f8_k_lanes_32, 1, (decode_k_lanes<F8, 4, 2>));
DECODE(f8_feature_lanes_packed_copy, 1, decode_packed_f8);
DECODE(f8_feature_lanes_as_stored, 1, decode_gathered_f8);
DECODE(bf16_k_lanes_8, 2, (decode_k_lanes_plain<1, 8>));
DECODE(bf16_k_lanes_16, 2, (decode_k_lanes_plain<2, 4>));
DECODE(bf16_k_lanes_32, 2, (decode_k_lanes_plain<4, 2>));
PREFILL(f8_k_lanes_8, (prefill_k_lanes<F8, 1>));
PREFILL(f8_k_lanes_16, (prefill_k_lanes<F8, 2>));
PREFILL(f8_k_lanes_32, (prefill_k_lanes<F8, 4>));
PREFILL(f8_feature_lanes, (prefill_feature_lanes<F8>));
PREFILL(bf16_k_lanes_8, (prefill_k_lanes<B16, 1>));
PREFILL(bf16_k_lanes_16, (prefill_k_lanes<B16, 2>));
PREFILL(bf16_k_lanes_32, (prefill_k_lanes<B16, 4>));
PREFILL(bf16_feature_lanes, (prefill_feature_lanes<B16>));

}  // namespace

BENCHMARK_MAIN();
