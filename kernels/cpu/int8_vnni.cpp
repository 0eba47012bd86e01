// linear of INT8 rows for CPUs with AVX-512 VNNI, and its probe: four products of bytes are one
// operation, vpdpbusd, so everything else has to be shared by many of them.
//
// Highway 1.0.3 has no target for it: its AVX3_DL asks for more than is used here, and for
// AVX-VNNI, which the CPUs with AVX-512 VNNI lack. This is its AVX3 with one more set of
// instructions.
#include "kernels/cpu/levels.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/int8_vnni.cpp"
#include "hwy/foreach_target.h"

#if HWY_TARGET == HWY_AVX3
#include <immintrin.h>

#include <algorithm>
#include <array>

#include "kernels/cpu/scratch.hpp"
#include "kernels/cpu/tiles.inc"
#include "kernels/ops/linear.hpp"
// After tiles.inc
#undef HWY_TARGET_STR
#define HWY_TARGET_STR HWY_TARGET_STR_AVX3 ",avx512vnni"

#pragma GCC diagnostic push
// In GCC 12's own AVX-512 intrinsics.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"

HWY_BEFORE_NAMESPACE();
namespace troupe::kernels::HWY_NAMESPACE {
namespace {

/// vpdpbusd multiplies unsigned with signed bytes. INT8 weights become unsigned by 128 more, INT4
/// codes are so as stored, by 8 more: sums start at minus what that is too much.
constexpr char kInt8Bias = -128;  // 128 as an unsigned byte
constexpr char kInt4Bias = 8;

/// A register tile is up to kVnniRows rows x Unit::kTileUnits units.
constexpr std::size_t kVnniRows = 6;
/// Units that all rows meet before the next ones are read from memory.
constexpr std::size_t kBlockUnits = 16;
/// Chunks after which the next units have their turn: rows of x stay in the level-1 cache. Few rows
/// wait for memory, which is quickest in long streams.
constexpr std::size_t kPassChunks = 16;
constexpr std::size_t kFewRows = 2 * kVnniRows;
/// Weights are asked for at least so many bytes before their use: with 2 KB a row of INT4 is a
/// seventh slower, with 8 KB no faster (Zen 5).
constexpr std::size_t kAheadBytes = 4096;
/// A single row of at most so many chunks takes four features side by side.
constexpr std::size_t kShortChunks = 4;

constexpr std::size_t kSumLanes = 16;  // of a unit, F32

HWY_INLINE __m512i load_512(const void* from) { return _mm512_loadu_si512(from); }
HWY_INLINE __m256i load_256(const void* from) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(from));
}
HWY_INLINE void store_256(void* to, __m256i value) {
  _mm256_storeu_si256(static_cast<__m256i*>(to), value);
}
/// The first n of 64 or 32 bytes, all where there are more; the rest is zero and not touched.
HWY_INLINE __m512i load_first_512(const void* from, std::size_t n) {
  return _mm512_maskz_loadu_epi8(n >= 64 ? ~__mmask64{0} : (__mmask64{1} << n) - 1, from);
}
HWY_INLINE __m256i load_first_256(const void* from, std::size_t n) {
  return _mm256_maskz_loadu_epi8(static_cast<__mmask32>(n >= 32 ? ~0U : (1U << n) - 1), from);
}
HWY_INLINE __m256i add_halves(__m512i sums) {
  return _mm256_add_epi32(_mm512_castsi512_si256(sums), _mm512_extracti64x4_epi64(sums, 1));
}
HWY_INLINE __m512i negated(__m512i sums) { return _mm512_sub_epi32(_mm512_setzero_si512(), sums); }

/// One call. Rows of x lie in chunks of Unit::kInputBytes: codes, then the first values of sums.
struct VnniJob {
  const LinearArgs* args = nullptr;
  const std::uint8_t* x = nullptr;  // [tokens][chunks][kInputBytes]
  std::size_t x_stride = 0;
  std::size_t chunks = 0;
  std::size_t row_bytes = 0;      // of a weight
  std::size_t scales_stride = 0;  // bytes of the group scales of a feature
  std::size_t ahead = 0;          // weights are asked for so many bytes before their use
  std::size_t pass = 0;           // chunks, as kPassChunks

  HWY_INLINE const std::uint8_t* weight(std::size_t feature) const {
    return reinterpret_cast<const std::uint8_t*>(args->w.data) + feature * row_bytes;
  }
  /// Of groups; null where the weight has none.
  HWY_INLINE const std::byte* scales(std::size_t feature) const {
    return args->w.group_scales == nullptr ? nullptr
                                           : args->w.group_scales + feature * scales_stride;
  }
};

/// Where a register tile reads: rows of x, features from w on.
struct VnniSpan {
  std::size_t x_stride = 0;
  const std::uint8_t* w = nullptr;
  std::size_t w_stride = 0;
  std::size_t second = 0;             // from a unit's first feature to its second one
  const std::byte* scales = nullptr;  // of groups
  std::size_t scales_stride = 0;
};

/// INT8 weights. Lane l of 8 has columns 4l .. 4l + 3 of every 32. A unit is two features, each in
/// one half of a register.
struct Int8Unit {
  static constexpr std::size_t kFeatures = 2;
  static constexpr std::size_t kFeatureLanes = 8;
  static constexpr std::size_t kTileUnits = 2;  // 12 sums of bytes, 12 in F32, and their operands
  static constexpr std::size_t kInputBytes = kChunk + 64;  // 32 of them unused, for the alignment
  static constexpr std::size_t kChunkBytes = kChunk;       // of a weight
  static constexpr std::size_t kScaleBytes = 0;            // of a chunk of a weight

  HWY_INLINE static std::size_t row_bytes(std::size_t width) { return width; }

  /// One chunk of x: its codes as they are, and for each lane -128 times their sum.
  HWY_INLINE static void prepare(const std::int8_t* codes, std::uint8_t* out) {
    const __m512i first = load_512(codes);
    const __m512i second = load_512(codes + 64);
    const __m512i bias = _mm512_set1_epi8(kInt8Bias);
    const __m512i zero = _mm512_setzero_si512();
    const __m512i sums = _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(zero, bias, first), bias, second);
    _mm512_storeu_si512(out, first);
    _mm512_storeu_si512(out + 64, second);
    store_256(out + kChunk, add_halves(negated(sums)));
  }

  /// One chunk of a register tile: weights of unit u at w + 2 u row_bytes, its second feature
  /// `second` bytes on; kLast: only `left` bytes of each are there.
  template <bool kLast, std::size_t kRows, std::size_t kUnits>
  HWY_INLINE static void multiply(const VnniSpan& span, std::size_t left, const std::uint8_t* x,
                                  const float* factors, __m512 (&sums)[kRows][kUnits]) {
    const __m512i bias = _mm512_set1_epi8(kInt8Bias);
    const auto load = [&](const std::uint8_t* row, std::size_t at) {
      return kLast ? load_first_256(row + at, left > at ? left - at : 0) : load_256(row + at);
    };
    __m512i products[kRows][kUnits];
    HWY_UNROLL(6)
    for (std::size_t r = 0; r < kRows; ++r) HWY_UNROLL(4)
    for (std::size_t u = 0; u < kUnits; ++u)
      products[r][u] = _mm512_broadcast_i64x4(load_256(x + r * span.x_stride + kChunk));
    HWY_UNROLL(4)
    for (std::size_t k = 0; k < kChunk; k += 32) {
      __m512i codes[kUnits];
      HWY_UNROLL(4)
      for (std::size_t u = 0; u < kUnits; ++u) {
        const std::uint8_t* row = span.w + 2 * u * span.w_stride;
        const __m512i both =
            _mm512_inserti64x4(_mm512_castsi256_si512(load(row, k)), load(row + span.second, k), 1);
        codes[u] = _mm512_xor_si512(both, bias);
      }
      HWY_UNROLL(6)
      for (std::size_t r = 0; r < kRows; ++r) {
        const __m512i row = _mm512_broadcast_i64x4(load_256(x + r * span.x_stride + k));
        HWY_UNROLL(4)
        for (std::size_t u = 0; u < kUnits; ++u)
          products[r][u] = _mm512_dpbusd_epi32(products[r][u], codes[u], row);
      }
    }
    HWY_UNROLL(6)
    for (std::size_t r = 0; r < kRows; ++r) {
      const __m512 factor = _mm512_set1_ps(factors[r]);
      HWY_UNROLL(4)
      for (std::size_t u = 0; u < kUnits; ++u)
        sums[r][u] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(products[r][u]), factor, sums[r][u]);
    }
  }

  /// Four features, in two units' sums, to 4 lanes of each, along the canonical tree of 8.
  static constexpr std::size_t kFourUnits = 2;
  HWY_INLINE static __m512 four_lanes_of(const __m512 (&sums)[kFourUnits]) {
    return _mm512_add_ps(_mm512_shuffle_f32x4(sums[0], sums[1], 0x88),
                         _mm512_shuffle_f32x4(sums[0], sums[1], 0xdd));
  }

  /// The sums of kCount features of one row, straight from memory, to out, [kCount][kFeatureLanes].
  template <std::size_t kCount>
  HWY_NOINLINE static void stream(const VnniJob& job, std::size_t feature, const float* factors,
                                  float* out) {
    const __m512i bias = _mm512_set1_epi8(kInt8Bias);
    const std::uint8_t* w = job.weight(feature);
    const std::uint8_t* x = job.x;
    __m256 sums[kCount];
    for (__m256& sum : sums) sum = _mm256_setzero_ps();
    const auto chunk = [&](float factor, auto load) {
      const __m512i first = load_512(x);
      const __m512i second = load_512(x + 64);
      const __m512i start = _mm512_zextsi256_si512(load_256(x + kChunk));
      HWY_UNROLL(4)
      for (std::size_t f = 0; f < kCount; ++f) {
        const std::uint8_t* row = w + f * job.row_bytes;
        const __m512i low = _mm512_xor_si512(load(row, 0), bias);
        const __m512i high = _mm512_xor_si512(load(row, 64), bias);
        const __m512i products =
            _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(start, low, first), high, second);
        sums[f] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(add_halves(products)), _mm256_set1_ps(factor),
                                  sums[f]);
      }
    };
    const std::size_t whole = job.row_bytes / kChunk;
    for (std::size_t c = 0; c < whole; ++c, w += kChunk, x += kInputBytes) {
      HWY_UNROLL(4)
      for (std::size_t f = 0; f < kCount; ++f) {
        hwy::Prefetch(w + f * job.row_bytes + job.ahead);
        hwy::Prefetch(w + f * job.row_bytes + job.ahead + 64);
      }
      chunk(factors[c], [](const std::uint8_t* row, std::size_t at) { return load_512(row + at); });
    }
    if (whole < job.chunks) {
      const std::size_t left = job.row_bytes - whole * kChunk;
      chunk(factors[whole], [left](const std::uint8_t* row, std::size_t at) {
        return load_first_512(row + at, left > at ? left - at : 0);
      });
    }
    for (std::size_t f = 0; f < kCount; ++f) _mm256_storeu_ps(out + f * kFeatureLanes, sums[f]);
  }
};

/// INT4 weights with BF16 scales of 32 columns. Lane l of 16 has columns 8l .. 8l + 7 of a chunk:
/// the low and high nibbles of four neighbouring bytes. A unit is one feature.
struct Int4Unit {
  static constexpr std::size_t kFeatures = 1;
  static constexpr std::size_t kFeatureLanes = 16;
  static constexpr std::size_t kTileUnits = 4;  // 24 sums in F32; what spills waits for no product
  static constexpr std::size_t kInputBytes = kChunk + 64;  // even columns, odd ones, first values
  static constexpr std::size_t kChunkBytes = kChunk / 2;   // of a weight
  static constexpr std::size_t kScaleBytes = 2 * kChunk / kScaleGroup;

  HWY_INLINE static std::size_t row_bytes(std::size_t width) {
    return round_up(width, static_cast<std::size_t>(kCodesPerWord)) / 2;
  }

  /// One chunk of x: its even and its odd columns, and for each lane -8 times the sum of both.
  HWY_INLINE static void prepare(const std::int8_t* codes, std::uint8_t* out) {
    const __m512i first = load_512(codes);
    const __m512i second = load_512(codes + 64);
    const __m512i low = _mm512_set1_epi16(0xff);
    const __m512i even = join(_mm512_and_si512(first, low), _mm512_and_si512(second, low));
    const __m512i odd = join(_mm512_srli_epi16(first, 8), _mm512_srli_epi16(second, 8));
    const __m512i bias = _mm512_set1_epi8(kInt4Bias);
    const __m512i zero = _mm512_setzero_si512();
    _mm512_storeu_si512(out, even);
    _mm512_storeu_si512(out + 64, odd);
    _mm512_storeu_si512(out + kChunk, negated(_mm512_dpbusd_epi32(
                                          _mm512_dpbusd_epi32(zero, bias, even), bias, odd)));
  }

  /// As Int8Unit's; the chunk's scales of unit u lie at scales + u scales_stride.
  template <bool kLast, std::size_t kRows, std::size_t kUnits>
  HWY_INLINE static void multiply(const VnniSpan& span, std::size_t left, const std::uint8_t* x,
                                  const float* factors, __m512 (&sums)[kRows][kUnits]) {
    __m512i low[kUnits];
    __m512i high[kUnits];
    __m512 scales[kUnits];
    HWY_UNROLL(4)
    for (std::size_t u = 0; u < kUnits; ++u) {
      const std::uint8_t* row = span.w + u * span.w_stride;
      const __m512i pairs = kLast ? load_first_512(row, left) : load_512(row);
      low[u] = low_nibbles(pairs);
      high[u] = high_nibbles(pairs);
      scales[u] = spread<kLast>(span.scales + u * span.scales_stride, left);
    }
    HWY_UNROLL(6)
    for (std::size_t r = 0; r < kRows; ++r) {
      const std::uint8_t* row = x + r * span.x_stride;
      const __m512i even = load_512(row);
      const __m512i odd = load_512(row + 64);
      const __m512i start = load_512(row + kChunk);
      const __m512 factor = _mm512_set1_ps(factors[r]);
      HWY_UNROLL(4)
      for (std::size_t u = 0; u < kUnits; ++u)
        sums[r][u] =
            add(low[u], high[u], even, odd, start, _mm512_mul_ps(factor, scales[u]), sums[r][u]);
    }
  }

  /// Four features, one in each unit's sums, to 4 lanes of each, along the canonical tree of 16.
  static constexpr std::size_t kFourUnits = 4;
  HWY_INLINE static __m512 four_lanes_of(const __m512 (&sums)[kFourUnits]) {
    const __m512 ab = eight_lanes(sums[0], sums[1]);
    const __m512 cd = eight_lanes(sums[2], sums[3]);
    return _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xdd));
  }

  template <std::size_t kCount>
  HWY_NOINLINE static void stream(const VnniJob& job, std::size_t feature, const float* factors,
                                  float* out) {
    const std::uint8_t* w = job.weight(feature);
    const std::uint8_t* x = job.x;
    __m512 sums[kCount];
    for (__m512& sum : sums) sum = _mm512_setzero_ps();
    const std::byte* scales = job.scales(feature);
    const auto chunk = [&](auto last, float by, std::size_t left) {
      constexpr bool kLast = decltype(last)::value;
      const __m512i even = load_512(x);
      const __m512i odd = load_512(x + 64);
      const __m512i start = load_512(x + kChunk);
      const __m512 factor = _mm512_set1_ps(by);
      HWY_UNROLL(4)
      for (std::size_t f = 0; f < kCount; ++f) {
        const std::uint8_t* row = w + f * job.row_bytes;
        const __m512i pairs = kLast ? load_first_512(row, left) : load_512(row);
        const __m512 s = spread<kLast>(scales + f * job.scales_stride, left);
        sums[f] = add(low_nibbles(pairs), high_nibbles(pairs), even, odd, start,
                      _mm512_mul_ps(factor, s), sums[f]);
      }
    };
    const std::size_t whole = job.row_bytes / kChunkBytes;
    for (std::size_t c = 0; c < whole; ++c) {
      HWY_UNROLL(4)
      for (std::size_t f = 0; f < kCount; ++f) hwy::Prefetch(w + f * job.row_bytes + job.ahead);
      chunk(std::false_type(), factors[c], 0);
      w += kChunkBytes;
      x += kInputBytes;
      scales += kScaleBytes;
    }
    if (whole < job.chunks)
      chunk(std::true_type(), factors[whole], job.row_bytes - whole * kChunkBytes);
    for (std::size_t f = 0; f < kCount; ++f) _mm512_storeu_ps(out + f * kFeatureLanes, sums[f]);
  }

 private:
  /// 16 lanes of a and of b to 8: (a, b).
  HWY_INLINE static __m512 eight_lanes(__m512 a, __m512 b) {
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
  }
  HWY_INLINE static __m512i join(__m512i a, __m512i b) {
    return _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7),
                                    _mm512_packus_epi16(a, b));
  }
  HWY_INLINE static __m512i low_nibbles(__m512i pairs) {
    return _mm512_and_si512(pairs, _mm512_set1_epi8(15));
  }
  HWY_INLINE static __m512i high_nibbles(__m512i pairs) {
    return _mm512_and_si512(_mm512_srli_epi16(pairs, 4), _mm512_set1_epi8(15));
  }
  HWY_INLINE static __m512 add(__m512i low, __m512i high, __m512i even, __m512i odd, __m512i start,
                               __m512 factor, __m512 sum) {
    const __m512i products = _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(start, low, even), high, odd);
    return _mm512_fmadd_ps(_mm512_cvtepi32_ps(products), factor, sum);
  }
  /// The four group scales of a chunk, each in its four lanes: the upper half of each F32. Of a
  /// last chunk, of which `left` bytes are there: +0 past the last one.
  template <bool kLast>
  HWY_INLINE static __m512 spread(const std::byte* scales, std::size_t left) {
    std::uint64_t stored = 0;
    std::memcpy(
        &stored, scales,
        kLast ? 2 * static_cast<std::size_t>(scale_groups(static_cast<std::int64_t>(2 * left)))
              : sizeof(stored));
    const __m512i from =
        _mm512_set_epi32(0x0706ffff, 0x0706ffff, 0x0706ffff, 0x0706ffff, 0x0504ffff, 0x0504ffff,
                         0x0504ffff, 0x0504ffff, 0x0302ffff, 0x0302ffff, 0x0302ffff, 0x0302ffff,
                         0x0100ffff, 0x0100ffff, 0x0100ffff, 0x0100ffff);
    const __m512i all = _mm512_set1_epi64(static_cast<long long>(stored));
    return _mm512_castsi512_ps(_mm512_shuffle_epi8(all, from));
  }
};

/// Rows of the tile that begins at row t: tiles of nearly the same size.
HWY_INLINE std::size_t tile_rows(std::size_t tokens, std::size_t t) {
  const std::size_t left = tokens - t;
  const std::size_t tiles = (left + kVnniRows - 1) / kVnniRows;
  return (left + tiles - 1) / tiles;
}

/// a_s * w_s of all rows for one row of scale blocks, [chunks][rows] of one tile after the other;
/// w_s is 1 where scales are not the blocks'.
HWY_NOINLINE void row_factors(const VnniJob& job, std::size_t feature, float* factors) {
  const WeightMatrix& w = job.args->w;
  const bool blocks = w.scales != nullptr && w.scale_shape == ScaleShape::block;
  const float* w_scales = blocks ? w.scales + feature / kChunk * job.chunks : nullptr;
  const auto tokens = static_cast<std::size_t>(job.args->tokens);
  for (std::size_t t = 0, rows = 0; t < tokens; t += rows) {
    rows = tile_rows(tokens, t);
    for (std::size_t r = 0; r < rows; ++r) {
      const float* of_row = job.args->x_scales + (t + r) * job.chunks;
      for (std::size_t chunk = 0; chunk < job.chunks; ++chunk)
        factors[t * job.chunks + chunk * rows + r] =
            blocks ? of_row[chunk] * w_scales[chunk] : of_row[chunk];
    }
  }
}

/// The sums of four features down to numbers, the first `count` of them to y.
template <class Unit>
HWY_INLINE void put_four(const VnniJob& job, std::size_t token, std::size_t feature,
                         std::size_t count, const __m512 (&sums)[Unit::kFourUnits]) {
  const LinearArgs& args = *job.args;
  const __m512 four = Unit::four_lanes_of(sums);
  const __m512 two = _mm512_add_ps(four, _mm512_permute_ps(four, 0x4e));
  const __m512 one = _mm512_add_ps(two, _mm512_permute_ps(two, 0xb1));
  const __m512i firsts = _mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  __m128 numbers = _mm512_castps512_ps128(_mm512_permutexvar_ps(firsts, one));
  const auto mask = static_cast<__mmask8>((1U << std::min<std::size_t>(count, 4)) - 1);
  if (args.w.scale_shape == ScaleShape::row) {
    hwy::Prefetch(args.w.scales + feature + 64);
    numbers = _mm_mul_ps(numbers, _mm_maskz_loadu_ps(mask, args.w.scales + feature));
  }
  _mm_mask_storeu_ps(args.y + static_cast<std::int64_t>(token) * args.y_stride + feature, mask,
                     numbers);
}

/// Chunks [begin, end) of kRows rows and of kUnits units from `feature` on, of which `features` are
/// there, added to `memory`, [kUnits][kRows][16].
template <class Unit, std::size_t kRows, std::size_t kUnits>
HWY_NOINLINE void vnni_span(const VnniJob& job, std::size_t token, std::size_t feature,
                            std::size_t features, std::size_t begin, std::size_t end,
                            const float* factors, float* memory) {
  __m512 sums[kRows][kUnits];
  HWY_UNROLL(6)
  for (std::size_t r = 0; r < kRows; ++r) HWY_UNROLL(4)
  for (std::size_t u = 0; u < kUnits; ++u)
    sums[r][u] =
        begin == 0 ? _mm512_setzero_ps() : _mm512_load_ps(memory + (u * kRows + r) * kSumLanes);
  VnniSpan span;
  span.x_stride = job.x_stride;
  span.w = job.weight(feature) + begin * Unit::kChunkBytes;
  span.w_stride = job.row_bytes;
  span.second = features > 1 ? job.row_bytes : 0;
  span.scales_stride = job.scales_stride;
  if (Unit::kScaleBytes > 0) span.scales = job.scales(feature) + begin * Unit::kScaleBytes;
  const std::uint8_t* x = job.x + token * job.x_stride + begin * Unit::kInputBytes;
  factors += begin * kRows;
  const std::size_t whole = std::min(end, job.row_bytes / Unit::kChunkBytes);
  const std::size_t ahead = token == 0 ? job.ahead : 0;  // the next rows find them in the cache
  for (std::size_t chunk = begin; chunk < whole; ++chunk) {
    if (ahead > 0) HWY_UNROLL(4)
    for (std::size_t f = 0; f < kUnits * Unit::kFeatures; ++f)
      for (std::size_t b = 0; b < Unit::kChunkBytes; b += 64)
        hwy::Prefetch(span.w + f * span.w_stride + ahead + b);
    Unit::template multiply<false>(span, 0, x, factors, sums);
    span.w += Unit::kChunkBytes;
    if (Unit::kScaleBytes > 0) span.scales += Unit::kScaleBytes;
    x += Unit::kInputBytes;
    factors += kRows;
  }
  if (whole < end)
    Unit::template multiply<true>(span, job.row_bytes - whole * Unit::kChunkBytes, x, factors,
                                  sums);
  HWY_UNROLL(6)
  for (std::size_t r = 0; r < kRows; ++r) HWY_UNROLL(4)
  for (std::size_t u = 0; u < kUnits; ++u)
    _mm512_store_ps(memory + (u * kRows + r) * kSumLanes, sums[r][u]);
}

/// kRows rows against the features [begin, end), at most kBlockUnits units.
template <class Unit, std::size_t kRows>
HWY_NOINLINE void vnni_rows(const VnniJob& job, std::size_t token, std::size_t begin,
                            std::size_t end, const float* factors) {
  constexpr std::size_t kFloats = kRows * kSumLanes;
  alignas(64) float sums[kBlockUnits * kFloats];
  const std::size_t units = (end - begin + Unit::kFeatures - 1) / Unit::kFeatures;
  // Of an odd number of features the last one is a tile of its own.
  const std::size_t whole = (end - begin) / Unit::kFeatures;
  for (std::size_t chunk = 0; chunk < job.chunks; chunk += job.pass) {
    const std::size_t stop = std::min(chunk + job.pass, job.chunks);
    std::size_t u = 0;
    for (; u + Unit::kTileUnits <= whole; u += Unit::kTileUnits)
      vnni_span<Unit, kRows, Unit::kTileUnits>(job, token, begin + u * Unit::kFeatures,
                                               Unit::kTileUnits * Unit::kFeatures, chunk, stop,
                                               factors, sums + u * kFloats);
    for (; u < units; ++u)
      vnni_span<Unit, kRows, 1>(job, token, begin + u * Unit::kFeatures,
                                end - begin - u * Unit::kFeatures, chunk, stop, factors,
                                sums + u * kFloats);
  }
  for (std::size_t r = 0; r < kRows; ++r)
    for (std::size_t u = 0; u < units; u += Unit::kFourUnits) {
      __m512 four[Unit::kFourUnits];
      for (std::size_t i = 0; i < Unit::kFourUnits; ++i)
        four[i] = u + i < units ? _mm512_load_ps(sums + ((u + i) * kRows + r) * kSumLanes)
                                : _mm512_setzero_ps();
      const std::size_t feature = begin + u * Unit::kFeatures;
      put_four<Unit>(job, token + r, feature, end - feature, four);
    }
}

template <class Unit>
HWY_INLINE void vnni_block(const VnniJob& job, std::size_t begin, std::size_t end,
                           const float* factors) {
  const auto tokens = static_cast<std::size_t>(job.args->tokens);
  for (std::size_t t = 0, rows = 0; t < tokens; t += rows) {
    rows = tile_rows(tokens, t);
    const float* of_tile = factors + t * job.chunks;
    switch (rows) {
      case 1: vnni_rows<Unit, 1>(job, t, begin, end, of_tile); break;
      case 2: vnni_rows<Unit, 2>(job, t, begin, end, of_tile); break;
      case 3: vnni_rows<Unit, 3>(job, t, begin, end, of_tile); break;
      case 4: vnni_rows<Unit, 4>(job, t, begin, end, of_tile); break;
      case 5: vnni_rows<Unit, 5>(job, t, begin, end, of_tile); break;
      default: vnni_rows<Unit, kVnniRows>(job, t, begin, end, of_tile);
    }
  }
}

/// One row: weights go from memory to registers and nowhere else.
template <class Unit>
HWY_INLINE void vnni_stream(const VnniJob& job, std::size_t begin, std::size_t end,
                            const float* factors) {
  alignas(64) float lanes[4 * Unit::kFeatureLanes] = {};
  for (std::size_t f = begin; f < end; f += 4) {
    const std::size_t count = std::min<std::size_t>(end - f, 4);
    if (count == 4 && job.chunks <= kShortChunks) {
      Unit::template stream<4>(job, f, factors, lanes);
    } else {
      for (std::size_t i = 0; i < count; ++i)
        Unit::template stream<1>(job, f + i, factors, lanes + i * Unit::kFeatureLanes);
    }
    __m512 sums[Unit::kFourUnits];
    for (std::size_t u = 0; u < Unit::kFourUnits; ++u)
      sums[u] = _mm512_load_ps(lanes + u * kSumLanes);
    put_four<Unit>(job, 0, f, count, sums);
  }
}

template <class Unit>
HWY_INLINE void run_vnni(const LinearArgs& args, std::size_t begin, std::size_t end) {
  const auto tokens = static_cast<std::size_t>(args.tokens);
  VnniJob job;
  job.args = &args;
  job.chunks = static_cast<std::size_t>(scale_blocks(args.w.cols));
  job.row_bytes = Unit::row_bytes(static_cast<std::size_t>(args.w.cols));
  job.x_stride = job.chunks * Unit::kInputBytes;
  if (args.w.group_scales != nullptr)
    job.scales_stride = 2 * static_cast<std::size_t>(scale_groups(args.w.cols));
  if (tokens <= kFewRows) {
    const std::size_t together = tokens == 1 ? 1 : Unit::kTileUnits * Unit::kFeatures;
    job.ahead = std::max<std::size_t>(together * job.row_bytes, kAheadBytes);
  }
  job.pass = tokens <= kFewRows ? job.chunks : kPassChunks;
  const std::size_t x_floats = tokens * job.x_stride / sizeof(float);
  float* factors = cpu::scratch(x_floats + tokens * job.chunks) + x_floats;
  auto* x = reinterpret_cast<std::uint8_t*>(factors - x_floats);
  for (std::size_t i = 0; i < tokens * job.chunks; ++i)
    Unit::prepare(args.x_codes + i * kChunk, x + i * Unit::kInputBytes);
  job.x = x;
  for (std::size_t f = begin; f < end;) {
    const std::size_t row_end = std::min(end, f / kChunk * kChunk + kChunk);  // of scale blocks
    row_factors(job, f, factors);
    if (tokens == 1) {
      vnni_stream<Unit>(job, f, row_end, factors);
      f = row_end;
    }
    while (f < row_end) {
      const std::size_t stop = std::min(row_end, f + kBlockUnits * Unit::kFeatures);
      vnni_block<Unit>(job, f, stop, factors);
      f = stop;
    }
  }
}

void linear_int8(const LinearArgs& args, std::int64_t begin, std::int64_t end) {
  check_linear(args);
  if (args.tokens <= 0 || begin >= end) return;
  const auto b = static_cast<std::size_t>(begin);
  const auto e = static_cast<std::size_t>(end);
  if (args.w.dtype == DType::i8) return run_vnni<Int8Unit>(args, b, e);
  run_vnni<Int4Unit>(args, b, e);
}

/// Sixteen chains: two units with a latency of five cycles need ten.
std::int64_t int8_probe(std::int64_t rounds, std::int32_t* result) {
  constexpr std::size_t kChains = 16;
  __m512i sums[kChains];
  for (std::size_t i = 0; i < kChains; ++i) sums[i] = _mm512_set1_epi8(static_cast<char>(i + 1));
  const __m512i factor = _mm512_set1_epi8(3);
  for (std::int64_t n = 0; n < rounds; ++n) {
    HWY_UNROLL(16)
    for (__m512i& sum : sums) sum = _mm512_dpbusd_epi32(sum, factor, sum);
  }
  __m512i total = sums[0];
  for (std::size_t i = 1; i < kChains; ++i) total = _mm512_add_epi32(total, sums[i]);
  *result = _mm512_cvtsi512_si32(total);
  return rounds * static_cast<std::int64_t>(kChains * sizeof(__m512i) * 2);
}

}  // namespace
}  // namespace troupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#pragma GCC diagnostic pop

namespace troupe::kernels::cpu {
LinearFn vnni_linear_int8() { return N_AVX3::linear_int8; }
Int8ProbeFn vnni_int8_probe() { return N_AVX3::int8_probe; }
}  // namespace troupe::kernels::cpu
#endif
