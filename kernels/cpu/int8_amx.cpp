// linear of INT8 rows for CPUs with AMX, and its probe: 16 features meet 16 rows of x over 64
// columns in one operation.
//
// Weights are the left operand of a product, as they are stored: a row of a tile is one feature's
// columns. So it is x that is turned, once a call: 16 rows, a strip, lie side by side, four columns
// of each. A tile of whole numbers has a feature in each row and a row of x in each lane. They go
// through memory to vector registers, where the block before is added while tiles are multiplied.
#include "kernels/cpu/levels.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/int8_amx.cpp"
#include "hwy/foreach_target.h"

#if HWY_TARGET == HWY_AVX3
#include "kernels/cpu/lanes.inc"
// After lanes.inc
#undef HWY_TARGET_STR
#define HWY_TARGET_STR HWY_TARGET_STR_AVX3 ",avx512vbmi,amx-tile,amx-int8"
// After HWY_TARGET_STR
#include "kernels/cpu/int8_rows.inc"
// After int8_rows.inc
#include "kernels/cpu/amx_tiles.inc"
// After amx_tiles.inc
#include "kernels/cpu/int8_tiles.inc"

#pragma GCC diagnostic push
// In GCC 12's own AVX-512 intrinsics.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"

HWY_BEFORE_NAMESPACE();
namespace troupe::kernels::HWY_NAMESPACE {
namespace {

/// Up to so many rows AVX-512 VNNI streams the weights as fast as memory has them, or faster than
/// INT4 becomes tiles.
inline constexpr std::int64_t kFewRowsOfInt8 = 1;
inline constexpr std::int64_t kFewRowsOfInt4 = 8;

// ---- x ----

/// Rows of x in strips; lanes of no row hold the last one. They lie as they are met: kTilePass
/// blocks of all strips, of these two strips, of these one block, of this one strip after the
/// other.
struct Strips {
  std::size_t count = 0;
  std::int8_t* codes = nullptr;  // [kBlockBytes] each: [kSteps, kTileRows, 4]
  float* scales = nullptr;       // [kTileRows] each

  /// Where block b of strip s lies.
  HWY_INLINE std::size_t at(std::size_t s, std::size_t b, std::size_t blocks) const {
    const std::size_t pass = b / kTilePass * kTilePass;
    const std::size_t together = std::min<std::size_t>(2, count - s / 2 * 2);
    return pass * count + s / 2 * 2 * std::min(kTilePass, blocks - pass) +
           b % kTilePass * together + s % 2;
  }
};

HWY_NOINLINE void turn_rows(const Int8Job& job, const Strips& strips) {
  const auto tokens = static_cast<std::size_t>(job.args->tokens);
  const auto* codes = reinterpret_cast<const std::byte*>(job.args->x_codes);
  for (std::size_t s = 0; s < strips.count; ++s) {
    const UnitRows rows(codes, job.blocks * kBlock, s * kTileRows, tokens);
    for (std::size_t b = 0; b < job.blocks; ++b) {
      const std::size_t at = strips.at(s, b, job.blocks);
      auto* to = reinterpret_cast<std::int32_t*>(strips.codes + at * kBlockBytes);
      for (std::size_t piece = 0; piece < kBlock; piece += 16) {
        Words turned[4];
        load_turned(rows.at, b * kBlock + piece, turned);
        for (std::size_t i = 0; i < 4; ++i)
          hn::Store(turned[i], I32(), to + (piece / 4 + i) * kTileRows);
      }
      for (std::size_t r = 0; r < kTileRows; ++r)
        strips.scales[at * kTileRows + r] =
            job.args->x_scales[std::min(s * kTileRows + r, tokens - 1) * job.blocks + b];
    }
  }
}

// ---- weights ----

/// 64 columns of INT4 from 32 bytes, in the upper half of a byte each and without their bias: 16
/// times what they are.
HWY_INLINE Words sixteenfold(const std::uint8_t* from) {
  const __m512i pairs = _mm512_cvtepu32_epi64(
      _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));  // four in eight bytes
  // Nibble i from bit 4 i - 4 on.
  const __m512i moved =
      _mm512_multishift_epi64_epi8(_mm512_set1_epi64(0x1814'100c'0804'003c), pairs);
  // (moved & 0xf0) ^ 0x80
  return Words{_mm512_ternarylogic_epi32(moved, all_bytes(0xf0).raw, all_bytes(0x80).raw, 0x6a)};
}

/// One block of a unit to `to`, [2, kTileRows, kTileWidth].
template <class Codes>
HWY_INLINE void copy_block(const UnitRows& rows, std::size_t at, std::uint8_t* to) {
  HWY_UNROLL(16)
  for (std::size_t f = 0; f < kUnit; ++f)
    for (std::size_t half = 0; half < 2; ++half) {
      const std::uint8_t* from = rows.at[f] + at + half * Codes::kBytes / 2;
      const Words codes = kIsInt4<Codes> ? sixteenfold(from) : load_words(from);
      hn::Store(codes, I32(),
                reinterpret_cast<std::int32_t*>(to + half * kTileBytes + f * kTileWidth));
    }
}

/// The group scales of a feature for blocks [begin, begin + n), by 1/16, to out; +0 past the last.
HWY_INLINE void copy_scales(const Int8Job& job, const std::byte* row, std::size_t begin,
                            std::size_t n, float* out) {
  const std::size_t at = begin * 2 * kGroups;
  const std::size_t bytes = std::min(n * 2 * kGroups, job.scales_bytes - at);
  alignas(64) std::uint16_t bits[kTilePass * kGroups] = {};
  std::memcpy(bits, row + at, bytes);
  const hn::Rebind<std::uint16_t, U32> halves;
  for (std::size_t i = 0; i < n * kGroups; i += kWidth) {
    const auto words = hn::ShiftLeft<16>(hn::PromoteTo(U32(), hn::Load(halves, bits + i)));
    hn::StoreU(hn::Mul(hn::BitCast(F32(), words), hn::Set(F32(), 0x1p-4f)), F32(), out + i);
  }
}

/// Codes are [blocks, units, 2, kTileRows, kTileWidth]; scales, of INT4 and one unit, [kUnit,
/// kTilePass, kGroups].
template <class Codes>
HWY_NOINLINE void copy_panel(const Int8Job& job, const Panel& panel) {
  const WeightMatrix& w = job.args->w;
  for (std::size_t u = 0; u < panel.units; ++u) {
    const UnitRows rows(w.data, job.row_bytes, panel.feature + u * kUnit, panel.end);
    for (std::size_t b = 0; b < panel.blocks; ++b) {
      const std::size_t at = (panel.begin + b) * Codes::kBytes;
      std::uint8_t* to = panel.codes + (b * panel.units + u) * kBlockBytes;
      if (at + Codes::kBytes <= job.row_bytes) {
        copy_block<Codes>(rows, at, to);
      } else {
        const Tail<Codes::kBytes> tail(rows, at, job.row_bytes);
        copy_block<Codes>(tail.rows(), 0, to);
      }
    }
  }
  if constexpr (kIsInt4<Codes>) {
    const UnitRows rows(w.group_scales, job.scales_bytes, panel.feature, panel.end);
    for (std::size_t f = 0; f < kUnit; ++f) {
      const auto* row = reinterpret_cast<const std::byte*>(rows.at[f]);
      hwy::Prefetch(row + kUnit * job.scales_bytes + panel.begin * 2 * kGroups);  // the next unit's
      copy_scales(job, row, panel.begin, panel.blocks, panel.scales + f * kTilePass * kGroups);
    }
  }
}

// ---- a call ----

/// Sums of features [begin, end), [strips, kUnits, kUnit, kTileRows], turned, to y.
template <std::size_t kUnits>
HWY_NOINLINE void put_sums(const Int8Job& job, const Strips& strips, std::size_t begin,
                           std::size_t end, const float* sums) {
  constexpr std::size_t kSums = kUnits * kUnit * kTileRows;  // of a strip
  const auto tokens = static_cast<std::size_t>(job.args->tokens);
  for (std::size_t s = 0; s < strips.count; ++s)
    turn_sums<kUnits>(sums + s * kSums, std::min(kTileRows, tokens - s * kTileRows),
                      [&](std::size_t row, std::size_t u, V values) {
                        put(job, s * kTileRows + row, begin + u * kUnit, end, values);
                      });
}

/// Blocks [panel.begin, + panel.blocks) of a panel against all rows.
template <class Codes, std::size_t kUnits>
HWY_INLINE void panel_strips(const Strips& strips, const Panel& panel, TileJob job) {
  const std::size_t pairs = strips.count / 2;
  job.blocks = panel.blocks;
  job.x = strips.codes + panel.begin * strips.count * kBlockBytes;
  job.x_scales = strips.scales + panel.begin * strips.count * kTileRows;
  if (pairs > 0) {
    job.times = pairs;
    run_tiles<Codes, kUnits, 2>(job);
    job.next_bytes = 0;
  }
  if (strips.count % 2 == 0) return;
  job.x += pairs * 2 * panel.blocks * kBlockBytes;
  job.x_scales += pairs * 2 * panel.blocks * kTileRows;
  job.sums += pairs * 2 * kUnits * kUnit * kTileRows;
  job.times = 1;
  run_tiles<Codes, kUnits, 1>(job);
}

/// Features [begin, end), at most kUnits units, against all rows; memory: sums, scales, codes.
template <class Codes, std::size_t kUnits>
HWY_INLINE void panel_features(const Int8Job& job, const Strips& strips, std::size_t begin,
                               std::size_t end, float* memory) {
  static constexpr float kOne = 1;
  constexpr std::size_t kFeatures = kUnits * kUnit;
  const WeightMatrix& w = job.args->w;
  const bool scaled = w.scales != nullptr && w.scale_shape == ScaleShape::block;
  const float* w_scales = scaled ? w.scales + begin / kBlock * job.blocks : &kOne;
  float* sums = memory;
  Panel panel{.feature = begin, .end = end, .units = kUnits};
  panel.scales = sums + strips.count * kPanelUnits * kUnit * kTileRows;
  panel.codes = reinterpret_cast<std::uint8_t*>(panel.scales + kUnit * kTilePass * kGroups);
  std::fill_n(sums, strips.count * kFeatures * kTileRows, 0.0f);
  const std::size_t times = std::max<std::size_t>(strips.count / 2, 1);
  TileJob tiles{.w_scales_step = scaled ? std::size_t{1} : 0,
                .group_scales = panel.scales,
                .next = job.weight(begin + kFeatures),
                .next_bytes = round_up(kFeatures * Codes::kBytes / times, 64),
                .sums = sums};
  const bool direct = !kIsInt4<Codes> && end - begin == kFeatures && strips.count <= kDirectStrips;
  const std::size_t whole = job.row_bytes / Codes::kBytes;
  for (panel.begin = 0; panel.begin < job.blocks; panel.begin += panel.blocks) {
    panel.blocks = std::min(kTilePass, job.blocks - panel.begin);
    if (direct && panel.begin + panel.blocks <= whole) {
      // One or two strips lie in one piece.
      if (strips.count <= 2) panel.blocks = whole - panel.begin;
      tiles.weights = {job.weight(begin) + panel.begin * kBlock, job.row_bytes, kTileWidth,
                       kUnit * job.row_bytes, kBlock};
    } else {
      copy_panel<Codes>(job, panel);
      tiles.weights = {panel.codes, kTileWidth, kTileBytes, kBlockBytes, kUnits * kBlockBytes};
    }
    tiles.w_scales = w_scales + panel.begin * tiles.w_scales_step;
    panel_strips<Codes, kUnits>(strips, panel, tiles);
    tiles.next += panel.blocks * times * tiles.next_bytes;
  }
  put_sums<kUnits>(job, strips, begin, end, sums);
}

/// Stands for the way in which x is prepared here.
inline constexpr char kStripsForm = 0;

template <class Codes>
HWY_INLINE void run_codes(const LinearArgs& args, std::size_t begin, std::size_t end) {
  const auto tokens = static_cast<std::size_t>(args.tokens);
  const auto cols = static_cast<std::size_t>(args.w.cols);
  Int8Job job;
  job.args = &args;
  job.blocks = (cols + kBlock - 1) / kBlock;
  job.row_bytes = Codes::row_bytes(cols);
  job.scales_bytes = 2 * static_cast<std::size_t>(scale_groups(args.w.cols));
  Strips strips;
  strips.count = (tokens + kTileRows - 1) / kTileRows;
  const std::size_t strip_blocks = strips.count * job.blocks;
  const std::size_t panel_floats = strips.count * kPanelUnits * kUnit * kTileRows +
                                   kUnit * kTilePass * kGroups +
                                   kTilePass * kPanelUnits * kBlockBytes / sizeof(float);
  float* memory = cpu::scratch(panel_floats);
  const std::size_t code_floats = strip_blocks * kBlockBytes / sizeof(float);
  const cpu::InputKey key(args, &kStripsForm);
  const cpu::InputMemory input = cpu::input_memory(code_floats + strip_blocks * kTileRows, key);
  strips.codes = reinterpret_cast<std::int8_t*>(input.floats);
  strips.scales = input.floats + code_floats;
  if (!input.prepared) turn_rows(job, strips);
  cpu::keep_input(key);
  const Tiles tiles(kIsInt4<Codes> ? kScaleGroup : kTileWidth);
  // One or two strips wait for memory, and it is quicker the less lies ahead of what it brings.
  const bool in_pairs = !kIsInt4<Codes> && strips.count > 2;
  for (std::size_t f = begin; f < end;) {
    const std::size_t stop = std::min(end, f / kBlock * kBlock + kBlock);  // of scale blocks
    const std::size_t until = std::min(stop, f + (in_pairs ? kPanelUnits : 1) * kUnit);
    if (until - f > kUnit) {
      if constexpr (!kIsInt4<Codes>)
        panel_features<Codes, kPanelUnits>(job, strips, f, until, memory);
    } else {
      panel_features<Codes, 1>(job, strips, f, until, memory);
    }
    f = until;
  }
}

void linear_int8(const LinearArgs& args, std::int64_t begin, std::int64_t end) {
  const bool int8 = args.w.dtype == DType::i8;
  if (args.tokens <= (int8 ? kFewRowsOfInt8 : kFewRowsOfInt4))
    return cpu::avx512_vnni_linear_int8()(args, begin, end);
  check_linear(args);
  if (begin >= end) return;
  const auto b = static_cast<std::size_t>(begin);
  const auto e = static_cast<std::size_t>(end);
  if (int8) return run_codes<Int8Codes>(args, b, e);
  run_codes<Int4Codes>(args, b, e);
}

/// Four chains, as a tile of the products has them.
std::int64_t int8_probe(std::int64_t rounds, std::int32_t* result) {
  alignas(64) std::int32_t numbers[kTileRows * kTileRows];
  std::memset(numbers, 1, sizeof(numbers));
  const Tiles tiles(kTileWidth);
  load_tile<weight_tile(0)>(numbers, kTileWidth);
  load_tile<x_tile(0)>(numbers, kTileWidth);
  for (std::int64_t n = 0; n < rounds; ++n) {
    multiply_tiles<0, weight_tile(0), x_tile(0)>();
    multiply_tiles<1, weight_tile(0), x_tile(0)>();
    multiply_tiles<2, weight_tile(0), x_tile(0)>();
    multiply_tiles<3, weight_tile(0), x_tile(0)>();
  }
  store_tile<0>(numbers);
  *result = numbers[0];
  return rounds * static_cast<std::int64_t>(4 * kTileRows * kTileRows * kTileWidth * 2);
}

}  // namespace
}  // namespace troupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#pragma GCC diagnostic pop

namespace troupe::kernels::cpu {
LinearFn amx_linear_int8() { return N_AVX3::linear_int8; }
Int8ProbeFn amx_int8_probe() { return N_AVX3::int8_probe; }
}  // namespace troupe::kernels::cpu
#endif
