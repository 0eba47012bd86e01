// linear for CPUs with AVX-512 BF16: products of BF16 with weights in BF16 and e4m3 by vdpbf16ps.
//
// The instruction adds two products to each lane, the odd column's first, each with one rounding:
// the canonical order (ADR 0001). It reads subnormals as zero and makes none, though, so it is used
// only where none can arise; what else there is in a call is computed by the level below.
//
// Highway 1.0.3 has no target for it. This is its AVX3 with two more sets of instructions.
#include <immintrin.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/cpu/levels.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/linear_bf16.cpp"
#include "hwy/foreach_target.h"

#if HWY_TARGET == HWY_AVX3
#include "kernels/cpu/lanes.inc"  // for AVX3, as everywhere
// After lanes.inc
#undef HWY_TARGET_STR
#define HWY_TARGET_STR HWY_TARGET_STR_AVX3 ",avx512bf16,avx512vbmi"
#include "kernels/cpu/e4m3_words.inc"
#include "kernels/cpu/panels.inc"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // in GCC 12's own AVX-512 intrinsics

HWY_BEFORE_NAMESPACE();
namespace troupe::kernels::HWY_NAMESPACE {
namespace {

/// sum + odd columns' products, then + even columns'.
HWY_INLINE __m512 add_pairs(__m512 sum, __m512i x, __m512i w) {
  return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(x), reinterpret_cast<__m512bh>(w));
}

/// Packed rows of BF16: each lane takes two neighbouring columns at a time, a word of 32 bits.
struct Pairs {
  using Stored = std::uint16_t;
  struct Register {
    __m512i raw;
  };
  static constexpr std::size_t kColumns = 2 * kLanes;
  static constexpr std::size_t kStepColumns = kColumns;
  HWY_INLINE static Register load(const Stored* from) {
    Register value{_mm512_load_si512(from)};
    keep_in_register(value);  // rows of x, too
    return value;
  }
  HWY_INLINE static V multiply_add(Register x, Register w, V sum) {
    return V{add_pairs(sum.raw, x.raw, w.raw)};
  }
  HWY_INLINE static V multiply_add(V x, V w, V sum) {
    return V{add_pairs(sum.raw, _mm512_castps_si512(x.raw), _mm512_castps_si512(w.raw))};
  }
};

/// What numbers are in a row or a panel, by their biased exponents in BF16.
struct Exponents {
  int least = 0;  // of those that are not 0; subnormals have 0
  int most = 0;   // infinity and NaN have kNotFinite
};
constexpr int kNotFinite = 0xff;
/// In a row with elements that are no BF16: no panel goes with it.
constexpr Exponents kNoBf16{.least = 0, .most = kNotFinite};
/// A BF16 of biased exponent b is a multiple of 2^(b - 134). e4m3 codes are packed as code * 2^-56:
/// multiples of 2^-65 = 2^(69 - 134), at most 480 * 2^-56 < 2^(79 - 126).
constexpr Exponents kCodes{.least = 69, .most = 79};

/// Whether no sum of products can be subnormal, infinite or NaN.
HWY_INLINE bool goes_with(const Exponents& x, const Exponents& w, int width_log) {
  // Sums are multiples of 2^(least x - 134 + least w - 134), to be 2^-126 or more ...
  const bool large = x.least > 0 && w.least > 0 && x.least + w.least >= 2 * 134 - 126;
  // ... and less than width * 2^(most x - 126 + most w - 126), to be 2^126 or less.
  const bool small =
      x.most < kNotFinite && w.most < kNotFinite && x.most + w.most + width_log <= 2 * 126 + 126;
  return large && small;
}

/// Collects the exponents of words of BF16.
class Scan {
 public:
  // Not by default: an implicit constructor is compiled for the baseline.
  HWY_INLINE Scan() : least_(_mm512_set1_epi16(-1)), most_(_mm512_setzero_si512()) {}
  HWY_INLINE void add(__m512i words) {
    const __m512i magnitudes = _mm512_and_si512(words, _mm512_set1_epi16(0x7fff));
    // Less 1, so that 0 is the greatest.
    least_ = _mm512_min_epu16(least_, _mm512_sub_epi16(magnitudes, _mm512_set1_epi16(1)));
    most_ = _mm512_max_epu16(most_, magnitudes);
  }
  HWY_INLINE Exponents exponents() const {
    alignas(64) std::uint16_t least[32];
    alignas(64) std::uint16_t most[32];
    _mm512_store_si512(least, least_);
    _mm512_store_si512(most, most_);
    return {.least = (*std::min_element(least, least + 32) + 1) >> kExponentAt,
            .most = *std::max_element(most, most + 32) >> kExponentAt};
  }

 private:
  __m512i least_;
  __m512i most_;
};

/// Of 32 columns those that are among the first n.
HWY_INLINE __mmask32 first_columns(std::size_t n) {
  return n >= Pairs::kColumns ? ~0U : (1U << n) - 1;
}

HWY_INLINE __mmask64 first_of_64(std::size_t n) {
  return n >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << n) - 1;
}

/// Calls copy(k, columns' mask, out) for the 32 columns each from k on of a packed row.
template <class Copy>
HWY_INLINE void for_each_32(std::size_t width, Pairs::Stored* out, const Copy& copy) {
  for (std::size_t k = 0; k < width; k += Pairs::kColumns)
    copy(k, first_columns(width - k), out + k);
}

/// Packs a row of x.
HWY_NOINLINE Exponents pack_input_words(const float* row, std::size_t width, Pairs::Stored* out) {
  const __m512i high = _mm512_add_epi16(  // words 1, 3 .. 63
      _mm512_set1_epi16(1),
      _mm512_slli_epi16(_mm512_set_epi16(31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17,
                                         16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
                        1));
  __m512i lost = _mm512_setzero_si512();
  Scan scan;
  for_each_32(width, out, [&](std::size_t k, __mmask32 columns, Pairs::Stored* to) {
    const auto upper = static_cast<__mmask16>(columns >> 16);
    const __m512i a = _mm512_maskz_loadu_epi32(static_cast<__mmask16>(columns), row + k);
    // No address past the end is formed where there are no columns.
    const __m512i b =
        upper == 0 ? _mm512_setzero_si512() : _mm512_maskz_loadu_epi32(upper, row + k + kLanes);
    lost = _mm512_or_si512(lost, _mm512_or_si512(a, b));
    const __m512i words = _mm512_permutex2var_epi16(a, high, b);
    scan.add(words);
    _mm512_store_si512(to, words);
  });
  if (_mm512_test_epi32_mask(lost, _mm512_set1_epi32(0xffff)) != 0) return kNoBf16;
  return scan.exponents();
}

struct WholeBf16 {
  static constexpr bool kBlocks = false;
  static constexpr float kUnit = 1;
  static constexpr std::size_t kBytes = 2;
  /// From so many rows of x on they are streamed here. One alone is by the level below: with two
  /// threads, which memory bounds, that is a twentieth faster.
  static constexpr std::int64_t kStreamTokensMin = 2;
  static constexpr std::int64_t kStreamTokensMax = 8;
  HWY_INLINE WholeBf16() {}  // not by default, as Scan's
  /// Features that are streamed side by side.
  HWY_INLINE static std::size_t together(std::size_t) { return 4; }
  HWY_INLINE static void turn(const WeightMatrix& w, PanelFeatures unit, PanelColumns columns,
                              float*, const LaneMemory& to, Scan& scan) {
    const auto add = [&scan](Words words) { scan.add(words.raw); };
    const std::size_t row_bytes = static_cast<std::size_t>(w.cols) * kBytes;
    const UnitRows rows(w.data, row_bytes, unit.first, unit.first + unit.count);
    const std::size_t at = columns.first * kBytes;
    const std::size_t steps = columns.count / Pairs::kColumns;
    turn_steps(rows, at, steps, to, add);
    if (columns.count % Pairs::kColumns == 0) return;
    constexpr std::size_t kStepBytes = Pairs::kColumns * kBytes;
    const Tail<kStepBytes> tail(rows, at + steps * kStepBytes, row_bytes);
    turn_steps(tail.rows(), 0, 1, {to.at(0, steps), to.lane, to.step}, add);
  }
  HWY_INLINE static Exponents exponents(const Scan& scan) { return scan.exponents(); }

  HWY_INLINE static void load(const std::byte* row, std::size_t n, __m512i (&words)[2]) {
    words[0] = _mm512_maskz_loadu_epi16(first_columns(n), row);
    words[1] = _mm512_setzero_si512();
    if (n > Pairs::kColumns)
      words[1] = _mm512_maskz_loadu_epi16(first_columns(n - Pairs::kColumns),
                                          row + Pairs::kColumns * kBytes);
  }
};

struct BlocksE4m3 {
  static constexpr bool kBlocks = true;
  static constexpr unsigned kDown = 56;
  static constexpr float kUnit = 0x1p56f;
  static constexpr std::size_t kBytes = 1;
  static constexpr std::int64_t kStreamTokensMin = 1;
  /// Up to so many rows of x the streaming path is faster than panels.
  static constexpr std::int64_t kStreamTokensMax = 8;
  HWY_INLINE static void turn(const WeightMatrix& w, PanelFeatures unit, PanelColumns columns,
                              float* spare, const LaneMemory& to, Scan&) {
    const FromCodes<kDown> from_codes;
    auto* words = reinterpret_cast<Pairs::Stored*>(spare);
    for (std::size_t i = 0; i < unit.count; ++i) {
      const std::byte* row =
          w.data + (unit.first + i) * static_cast<std::size_t>(w.cols) + columns.first;
      for (std::size_t k = 0; k < columns.count; k += 64) {
        __m512i both[2];
        from_codes(_mm512_maskz_loadu_epi8(first_of_64(columns.count - k), row + k), both);
        _mm512_store_si512(words + i * kChunk + k, both[0]);
        _mm512_store_si512(words + i * kChunk + k + Pairs::kColumns, both[1]);
      }
    }
    const UnitRows rows(reinterpret_cast<const std::byte*>(words), kChunk * sizeof(Pairs::Stored),
                        0, unit.count);
    turn_steps(rows, 0, round_up(columns.count, Pairs::kColumns) / Pairs::kColumns, to);
  }
  HWY_INLINE static Exponents exponents(const Scan&) { return kCodes; }

  HWY_INLINE BlocksE4m3() : from_codes() {}
  HWY_INLINE static std::size_t together(std::size_t tokens) {
    return tokens == 1 ? 1 : tokens == 2 ? 4 : 2;  // of 32 registers codes take six
  }
  /// The first n of 64 columns from `codes` on, 32 to each of `words`, zeros after them.
  HWY_INLINE void load(const std::byte* codes, std::size_t n, __m512i (&words)[2]) const {
    from_codes(_mm512_maskz_loadu_epi8(first_of_64(n), codes), words);
  }
  FromCodes<kDown> from_codes;
};

/// What of a call cannot be computed with words of BF16, for the level below.
class Leftovers {
 public:
  explicit Leftovers(const LinearArgs& args) : args_(args) {}

  HWY_NOINLINE void add(PanelRows rows, PanelFeatures features) {
    if (!parts_.empty()) {
      Part& last = parts_.back();
      const std::size_t end = last.rows.first + last.rows.count;
      const bool same =
          last.features.first == features.first && last.features.count == features.count;
      // Rows of a later batch may have come first.
      const bool on = rows.first >= last.rows.first && rows.first <= end + kGapMax;
      if (same && on) {
        last.rows.count = rows.first + rows.count - last.rows.first;
        return;
      }
    }
    parts_.push_back({rows, features});
  }
  void compute() const {
    for (const Part& part : parts_) {
      LinearArgs args = args_;
      const auto first = static_cast<std::int64_t>(part.rows.first);
      args.x += first * args.x_stride;
      args.y += first * args.y_stride;
      if (args.x_scales != nullptr) args.x_scales += first * scale_blocks(args.w.cols);
      args.tokens = static_cast<std::int64_t>(part.rows.count);
      const auto f = static_cast<std::int64_t>(part.features.first);
      cpu::linear_levels().avx512(args, f, f + static_cast<std::int64_t>(part.features.count));
    }
  }

 private:
  struct Part {
    PanelRows rows;
    PanelFeatures features;
  };
  /// So many rows between two are computed again rather than split: they get the same bits.
  static constexpr std::size_t kGapMax = 8;

  const LinearArgs& args_;
  std::vector<Part> parts_;
};

}  // namespace
}  // namespace troupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#include "kernels/cpu/stream_words.inc"
HWY_BEFORE_NAMESPACE();
namespace troupe::kernels::HWY_NAMESPACE {
namespace {

/// Panels in BF16; takes note of what cannot be computed so.
template <class Format>
class Bf16Packing {
 public:
  using Product = Pairs;
  using Held = AsNumbers;
  static constexpr bool kBlocks = Format::kBlocks;
  static constexpr float kUnitFactor = Format::kUnit;
  static constexpr std::size_t kFilledTo = Pairs::kColumns;
  static constexpr bool kInputInPairs = false;
  static constexpr std::size_t kRowFloats = sizeof(Exponents) / sizeof(float);

  Bf16Packing(const LinearArgs& args, std::size_t begin, std::size_t end)
      : args_(args),
        begin_(begin),
        end_(end),
        width_(static_cast<std::size_t>(args.w.cols)),
        width_log_(std::bit_width(width_)),
        rest_(args) {}

  void use(float* floats, std::size_t first) {
    inputs_ = reinterpret_cast<Exponents*>(floats);
    first_ = first;
  }

  static std::size_t row_bytes(std::size_t columns) { return columns * Format::kBytes; }
  const float* pack_input(std::size_t token, float* spare) {
    const float* row = args_.x + static_cast<std::int64_t>(token) * args_.x_stride;
    inputs_[token - first_] =
        pack_input_words(row, width_, reinterpret_cast<Pairs::Stored*>(spare));
    return spare;
  }
  void pack_features(PanelFeatures unit, PanelColumns columns, float* spare, const LaneMemory& to) {
    Format::turn(args_.w, unit, columns, spare, to, scan_);
  }
  /// Where no row has BF16 alone, as in mode f32, nothing is.
  bool worth_it(PanelRows rows) {
    const Exponents* first = inputs_ + (rows.first - first_);
    const bool some = std::any_of(first, first + rows.count,
                                  [](const Exponents& e) { return e.most < kNotFinite; });
    if (!some) rest_.add(rows, {begin_, end_ - begin_});
    return some;
  }
  void computed(PanelRows rows, PanelFeatures features) {
    const Exponents weights = Format::exponents(scan_);
    scan_ = Scan();
    for (std::size_t r = rows.first; r < rows.first + rows.count; ++r)
      if (!goes_with(inputs_[r - first_], weights, width_log_)) rest_.add({r, 1}, features);
  }
  void compute_rest() const { rest_.compute(); }

 private:
  const LinearArgs& args_;
  std::size_t begin_;
  std::size_t end_;
  std::size_t width_;
  int width_log_;
  Exponents* inputs_ = nullptr;  // of rows from first_ on
  std::size_t first_ = 0;
  Scan scan_;  // of the weights that are packed
  Leftovers rest_;
};

template <class Format>
void run_linear(const LinearArgs& args, std::int64_t begin, std::int64_t end) {
  if (args.tokens < Format::kStreamTokensMin) return cpu::linear_levels().avx512(args, begin, end);
  check_linear(args);
  if (begin >= end) return;
  const auto b = static_cast<std::size_t>(begin);
  const auto e = static_cast<std::size_t>(end);
  if (args.tokens <= Format::kStreamTokensMax) return stream_words<Format>(args, b, e);
  Bf16Packing<Format> packing(args, b, e);
  panel_path(args, b, e, packing);
  packing.compute_rest();
}

void linear(const LinearArgs& args, std::int64_t begin, std::int64_t end) {
  switch (args.w.dtype) {
    case DType::f8_e4m3: return run_linear<BlocksE4m3>(args, begin, end);
    case DType::bf16: return run_linear<WholeBf16>(args, begin, end);
    default: return cpu::linear_levels().avx512(args, begin, end);
  }
}

/// Whether the instruction gives the bits of two fused multiply-adds, the odd column's first, as is
/// written of it. Asked once: 16,000 cases take less than a millisecond.
bool adds_in_order() {
  std::mt19937 random(1);
  const auto words = [&random] {  // of 2^-10 to 2^10, of both signs
    std::array<std::uint16_t, Pairs::kColumns> values;
    for (std::uint16_t& value : values) {
      const auto exponent = 117 + random() % 21;
      value = static_cast<std::uint16_t>((random() & 0x807f) | exponent << kExponentAt);
    }
    return values;
  };
  for (int round = 0; round < 1000; ++round) {
    const auto x = words();
    const auto w = words();
    std::array<float, kLanes> want;
    for (float& sum : want) sum = std::ldexp(static_cast<float>(random()), -32) - 0.5f;
    std::array<float, kLanes> got;
    const __m512 sums = _mm512_loadu_ps(want.data());
    _mm512_storeu_ps(got.data(),
                     add_pairs(sums, _mm512_loadu_si512(x.data()), _mm512_loadu_si512(w.data())));
    const auto value = [](std::uint16_t word) {
      return std::bit_cast<float>(static_cast<std::uint32_t>(word) << 16);
    };
    for (std::size_t l = 0; l < kLanes; ++l)
      for (const std::size_t k : {2 * l + 1, 2 * l})
        want[l] = std::fma(value(x[k]), value(w[k]), want[l]);
    if (std::memcmp(want.data(), got.data(), sizeof(want)) != 0) return false;
  }
  return true;
}

/// Twenty chains: two units with a latency of six cycles need twelve.
std::int64_t bf16_probe(std::int64_t rounds, float* result) {
  constexpr std::size_t kChains = 20;
  __m512 sums[kChains];
  for (std::size_t i = 0; i < kChains; ++i) sums[i] = _mm512_set1_ps(static_cast<float>(i));
  const __m512i factor = _mm512_set1_epi16(0x3f7f);
  for (std::int64_t n = 0; n < rounds; ++n) {
    HWY_UNROLL(20)
    for (std::size_t i = 0; i < kChains; ++i) sums[i] = add_pairs(sums[i], factor, factor);
  }
  __m512 total = sums[0];
  for (std::size_t i = 1; i < kChains; ++i) total = _mm512_add_ps(total, sums[i]);
  *result = _mm512_cvtss_f32(total);
  return rounds * static_cast<std::int64_t>(kChains * Pairs::kColumns * 2);
}

}  // namespace
}  // namespace troupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#pragma GCC diagnostic pop

namespace troupe::kernels::cpu {
LinearFn bf16_linear() { return N_AVX3::linear; }
FmaProbeFn bf16_probe() { return N_AVX3::bf16_probe; }
bool bf16_adds_in_order() { return N_AVX3::adds_in_order(); }
}  // namespace troupe::kernels::cpu
#endif
