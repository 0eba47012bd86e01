// linear in the order of AMX's tiles of BF16 (ADR 0007) for CPUs without: features are lanes.
//
// A panel holds some columns of a few units, turned: the features of a unit lie side by side, each
// column's by itself. Each of its registers meets a number of a row of x in every lane.
#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "kernels/compute_pool.hpp"
#include "kernels/cpu/levels.hpp"
#include "kernels/cpu/scratch.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/linear_tiles.cpp"
#include "hwy/foreach_target.h"
// After foreach_target.h
#include "kernels/cpu/e4m3.inc"
#include "kernels/cpu/unit_rows.inc"

#pragma GCC diagnostic push
// In GCC 12's own AVX-512 intrinsics.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"

HWY_BEFORE_NAMESPACE();
namespace troupe::kernels::HWY_NAMESPACE {
namespace {

inline constexpr std::size_t kColumns = kTileColumns;
inline constexpr std::size_t kBlock = kScaleBlock;
/// Of a panel: 32 KB at AVX-512 and 16 KB at AVX2 stay in the level-1 cache.
inline constexpr std::size_t kPanelColumns = 2 * kBlock;
inline constexpr std::size_t kPanelUnits = 2;
/// Rows of a register tile: 20 sums, even and odd, of 32 registers; 12 of 16.
inline constexpr std::size_t kRows = HWY_MAX_BYTES == 32 ? 3 : 5;
/// Rows of x that are prepared together take so many floats at most, 4 MiB, or are one tile.
inline constexpr std::size_t kInputFloats = std::size_t{1} << 20;

/// BF16 weights: a word is an even and an odd column.
struct WholeColumns {
  static constexpr std::size_t kBytes = 2;
  static constexpr bool kBlocks = false;
  /// 32 columns of a unit, [32][units][kWidth].
  HWY_INLINE static void turn(const UnitRows& rows, std::size_t at, float* to, std::size_t step) {
    for (std::size_t i = 0; i < kColumns; i += 8) {
      Words turned[4];
      load_turned(rows.at, at + i * kBytes, turned);
      for (std::size_t w = 0; w < 4; ++w) {
        const Words even = hn::ShiftLeft<16>(turned[w]);
        const Words odd = hn::And(turned[w], hn::Set(I32(), -65536));
        hn::Store(hn::BitCast(F32(), even), F32(), to + (i + 2 * w) * step);
        hn::Store(hn::BitCast(F32(), odd), F32(), to + (i + 2 * w + 1) * step);
      }
    }
  }
};

/// E4m3 weights with scales of blocks.
struct CodeColumns {
  static constexpr std::size_t kBytes = 1;
  static constexpr bool kBlocks = true;
  HWY_INLINE static void turn(const UnitRows& rows, std::size_t at, float* to, std::size_t step) {
    alignas(64) float values[kUnit][kWidth];
    const UnitRows decoded(reinterpret_cast<const std::byte*>(values), sizeof(values[0]), 0, kUnit);
    for (std::size_t i = 0; i < kColumns; i += kWidth) {
      for (std::size_t f = 0; f < kUnit; ++f)
        hn::Store(FromF8::whole(rows.at[f] + at + i), F32(), values[f]);
      for (std::size_t c = 0; c < kWidth; c += 4) {
        Words turned[4];
        load_turned(decoded.at, c * sizeof(float), turned);
        for (std::size_t w = 0; w < 4; ++w)
          hn::Store(hn::BitCast(F32(), turned[w]), F32(), to + (i + c + w) * step);
      }
    }
  }
};

/// Columns [begin, begin + count) of features [feature, end), at most kPanelUnits units.
struct Panel {
  std::size_t feature = 0;
  std::size_t end = 0;
  std::size_t begin = 0;
  std::size_t count = 0;  // whole blocks of 32
  float* values = nullptr;
};

template <class Columns, std::size_t kUnits>
HWY_NOINLINE void turn_panel(const WeightMatrix& w, const Panel& panel) {
  const std::size_t row_bytes = static_cast<std::size_t>(w.cols) * Columns::kBytes;
  constexpr std::size_t kStep = kUnits * kWidth;
  for (std::size_t u = 0; u < kUnits; ++u) {
    const UnitRows rows(w.data, row_bytes, panel.feature + u * kUnit, panel.end);
    for (std::size_t k = 0; k < panel.count; k += kColumns) {
      const std::size_t at = (panel.begin + k) * Columns::kBytes;
      float* to = panel.values + k * kStep + u * kWidth;
      if (at + kColumns * Columns::kBytes <= row_bytes) {
        Columns::turn(rows, at, to, kStep);
      } else {
        Columns::turn(Tail<kColumns * Columns::kBytes>(rows, at, row_bytes).rows(), 0, to, kStep);
      }
    }
  }
}

/// The sums of `columns` columns, blocks of 32, added to raw[row][unit].
template <std::size_t kRowCount, std::size_t kUnits>
HWY_INLINE void add_blocks(const float* values, const float* x, std::size_t x_stride,
                           std::size_t columns, V (&raw)[kRowCount][kUnits]) {
  constexpr std::size_t kStep = kUnits * kWidth;
  for (std::size_t k = 0; k < columns; k += kColumns) {
    V sums[2][kRowCount][kUnits];
    for (auto& parity : sums)
      for (auto& row : parity)
        for (V& sum : row) sum = hn::Zero(F32());
    for (std::size_t i = k; i < k + kColumns; i += 2) {
      HWY_UNROLL(2)
      for (std::size_t parity = 0; parity < 2; ++parity) {
        V w[kUnits];
        HWY_UNROLL(2)
        for (std::size_t u = 0; u < kUnits; ++u)
          w[u] = hn::Load(F32(), values + (i + parity) * kStep + u * kWidth);
        HWY_UNROLL(5)
        for (std::size_t r = 0; r < kRowCount; ++r) {
          const V input = hn::Set(F32(), x[r * x_stride + i + parity]);
          HWY_UNROLL(2)
          for (std::size_t u = 0; u < kUnits; ++u)
            sums[parity][r][u] = hn::MulAdd(w[u], input, sums[parity][r][u]);
        }
      }
    }
    for (std::size_t r = 0; r < kRowCount; ++r)
      for (std::size_t u = 0; u < kUnits; ++u)
        raw[r][u] = hn::Add(raw[r][u], hn::Add(sums[0][r][u], sums[1][r][u]));
  }
}

/// One panel against kRowCount rows. sums [rows][units][kWidth]; scales: of the panel's blocks.
template <class Columns, std::size_t kRowCount, std::size_t kUnits>
HWY_INLINE void run_tile(const Panel& panel, const float* x, std::size_t x_stride,
                         const float* scales, float* sums) {
  constexpr std::size_t kStep = kUnits * kWidth;
  if constexpr (!Columns::kBlocks) {
    V raw[kRowCount][kUnits];
    for (std::size_t r = 0; r < kRowCount; ++r)
      for (std::size_t u = 0; u < kUnits; ++u)
        raw[r][u] = hn::Load(F32(), sums + r * kStep + u * kWidth);
    add_blocks(panel.values, x, x_stride, panel.count, raw);
    for (std::size_t r = 0; r < kRowCount; ++r)
      for (std::size_t u = 0; u < kUnits; ++u)
        hn::Store(raw[r][u], F32(), sums + r * kStep + u * kWidth);
  } else {
    for (std::size_t k = 0; k < panel.count; k += kBlock, ++scales) {
      V raw[kRowCount][kUnits];
      for (auto& row : raw)
        for (V& sum : row) sum = hn::Zero(F32());
      add_blocks(panel.values + k * kStep, x + k, x_stride, std::min(panel.count - k, kBlock), raw);
      for (std::size_t r = 0; r < kRowCount; ++r)
        for (std::size_t u = 0; u < kUnits; ++u) {
          float* sum = sums + r * kStep + u * kWidth;
          hn::Store(hn::MulAdd(raw[r][u], hn::Set(F32(), *scales), hn::Load(F32(), sum)), F32(),
                    sum);
        }
    }
  }
}

template <class Columns, std::size_t kUnits, std::size_t kRowCount = kRows>
HWY_NOINLINE void run_rows(const Panel& panel, const float* x, std::size_t x_stride,
                           std::size_t rows, const float* scales, float* sums) {
  std::size_t r = 0;
  for (; r + kRowCount <= rows; r += kRowCount)
    run_tile<Columns, kRowCount, kUnits>(panel, x + r * x_stride, x_stride, scales,
                                         sums + r * kUnits * kWidth);
  if constexpr (kRowCount > 1)
    if (r < rows)
      run_rows<Columns, kUnits, kRowCount - 1>(panel, x + r * x_stride, x_stride, rows - r, scales,
                                               sums + r * kUnits * kWidth);
}

/// Rows of x from `first` on, rounded to BF16 and filled up with zeros.
struct Inputs {
  std::size_t first = 0;
  std::size_t rows = 0;
  std::size_t width = 0;  // of one
  float* values = nullptr;
};

/// To BF16, subnormal numbers to zero of their sign: as the instruction that rounds for AMX.
HWY_INLINE V rounded(V x) {
  const V least = hn::Set(F32(), std::numeric_limits<float>::min());
  const V zero = hn::And(x, hn::SignBit(F32()));
  return hn::IfThenElse(hn::Lt(hn::Abs(x), least), zero, to_bf16(x));
}

HWY_NOINLINE void round_inputs(const LinearArgs& args, const Inputs& inputs) {
  const auto cols = static_cast<std::size_t>(args.w.cols);
  for (std::size_t r = 0; r < inputs.rows; ++r) {
    const float* from = args.x + static_cast<std::int64_t>(inputs.first + r) * args.x_stride;
    float* to = inputs.values + r * inputs.width;
    for (std::size_t k = 0; k < inputs.width; k += kWidth)
      hn::Store(rounded(k < cols ? load_first_floats(from + k, cols - k) : hn::Zero(F32())), F32(),
                to + k);
  }
}

/// Features [begin, end), of one scale block and at most kUnits units, against all inputs.
template <class Columns, std::size_t kUnits>
HWY_NOINLINE void run_features(const LinearArgs& args, const Inputs& inputs, std::size_t begin,
                               std::size_t end, float* memory) {
  const auto cols = static_cast<std::size_t>(args.w.cols);
  constexpr std::size_t kStep = kUnits * kWidth;
  float* sums = memory + kPanelColumns * kPanelUnits * kWidth;
  std::fill_n(sums, inputs.rows * kStep, 0.0f);
  Panel panel{.feature = begin, .end = end, .values = memory};
  const float* scales = args.w.scales;
  if constexpr (Columns::kBlocks)
    scales += static_cast<std::int64_t>(begin / kBlock) * scale_blocks(args.w.cols);
  for (; panel.begin < cols; panel.begin += kPanelColumns) {
    panel.count = std::min(kPanelColumns, round_up(cols - panel.begin, kColumns));
    turn_panel<Columns, kUnits>(args.w, panel);
    run_rows<Columns, kUnits>(panel, inputs.values + panel.begin, inputs.width, inputs.rows,
                              Columns::kBlocks ? scales + panel.begin / kBlock : nullptr, sums);
  }
  for (std::size_t r = 0; r < inputs.rows; ++r) {
    float* y = args.y + static_cast<std::int64_t>(inputs.first + r) * args.y_stride;
    for (std::size_t u = 0; u < kUnits; ++u)
      store_first_floats(hn::Load(F32(), sums + r * kStep + u * kWidth), y + begin + u * kUnit,
                         end - begin - u * kUnit);
  }
}

/// Stands for the way in which x is prepared here.
inline constexpr char kRoundedForm = 0;

template <class Columns>
HWY_NOINLINE void run_linear(const LinearArgs& args, std::size_t begin, std::size_t end) {
  const auto tokens = static_cast<std::size_t>(args.tokens);
  Inputs inputs;
  inputs.width = round_up(static_cast<std::size_t>(args.w.cols), kColumns);
  const std::size_t most =
      std::min(tokens, std::max(kRows, kInputFloats / inputs.width / kRows * kRows));
  float* memory = cpu::scratch(kPanelUnits * kWidth * (kPanelColumns + most));
  for (; inputs.first < tokens; inputs.first += inputs.rows) {
    inputs.rows = std::min(most, tokens - inputs.first);
    const cpu::InputKey key(args, &kRoundedForm, inputs.first);
    const cpu::InputMemory input = cpu::input_memory(inputs.rows * inputs.width, key);
    inputs.values = input.floats;
    if (!input.prepared) round_inputs(args, inputs);
    cpu::keep_input(key);
    for_each_units(begin, end, [&](auto units, std::size_t first, std::size_t until) {
      run_features<Columns, units>(args, inputs, first, until, memory);
    });
  }
}

void linear_tiles(const LinearArgs& args, std::int64_t begin, std::int64_t end) {
  check_linear_tiles(args);
  if (args.tokens <= 0 || begin >= end) return;
  const MxcsrGuard flushed(MxcsrGuard::Subnormals::flush);
  const auto b = static_cast<std::size_t>(begin);
  const auto e = static_cast<std::size_t>(end);
  if (args.w.dtype == DType::bf16) return run_linear<WholeColumns>(args, b, e);
  run_linear<CodeColumns>(args, b, e);
}

}  // namespace
LinearFn linear_tiles_fn() { return linear_tiles; }
}  // namespace troupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#pragma GCC diagnostic pop

#if HWY_ONCE
namespace troupe::kernels::cpu {
Levels<LinearFn> linear_tiles_levels() {
  return {.avx2 = N_AVX2::linear_tiles_fn(),
          .avx512 = N_AVX3::linear_tiles_fn(),
          .avx512_amx = amx_linear_tiles()};
}

bool tiles_add_in_order() {
  constexpr std::int64_t kFeatures = 64;
  constexpr std::int64_t kInputs = 256;
  constexpr std::int64_t kTokens = 16;
  std::mt19937 random(1);
  // Of both signs: every other row from 2^-69 to 2^-60, so that where two of them meet products and
  // sums are subnormal, the others from 2^-64 to 2^15.
  const auto word = [&random](std::int64_t row) {
    const auto exponent =
        static_cast<std::uint32_t>(row % 2 == 0 ? 63 + random() % 80 : 58 + random() % 10);
    return (static_cast<std::uint32_t>(random()) & 0x807fU) | exponent << 7U;
  };
  std::vector<Bf16> weights(kFeatures * kInputs);
  for (std::size_t i = 0; i < weights.size(); ++i)
    weights[i] = static_cast<Bf16>(word(static_cast<std::int64_t>(i) / kInputs));
  std::vector<float> x(kTokens * kInputs);
  for (std::size_t i = 0; i < x.size(); ++i)
    x[i] = std::bit_cast<float>(word(static_cast<std::int64_t>(i) / kInputs) << 16U);
  const auto results = [&](LinearFn linear) {
    std::vector<float> y(kTokens * kFeatures);
    linear({.x = x.data(),
            .x_stride = kInputs,
            .w = {.data = reinterpret_cast<const std::byte*>(weights.data()),
                  .dtype = DType::bf16,
                  .rows = kFeatures,
                  .cols = kInputs},
            .y = y.data(),
            .y_stride = kFeatures,
            .tokens = kTokens},
           0, kFeatures);
    return y;
  };
  const Levels<LinearFn> levels = linear_tiles_levels();
  const auto want = results(levels.avx512);
  const auto got = results(levels.avx512_amx);
  return std::memcmp(want.data(), got.data(), want.size() * sizeof(float)) == 0;
}
}  // namespace troupe::kernels::cpu
#endif
