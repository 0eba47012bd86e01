// linear in the order of AMX's tiles of BF16 (ADR 0007) by the tiles themselves.
//
// As in int8_amx.cpp weights are the left operand, 16 features in the rows of a tile, and x is
// turned once a call: 16 rows, a strip, lie side by side, two columns of each. Weights of BF16 go
// into tiles from where they are stored; e4m3 codes become words in a panel first, and the sums of
// 128 of them go through memory to vector registers, where the scale of their block comes in while
// the next ones are multiplied.
#include <algorithm>
#include <cstring>

#include "kernels/compute_pool.hpp"
#include "kernels/cpu/levels.hpp"
#include "kernels/cpu/scratch.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/linear_amx.cpp"
#include "hwy/foreach_target.h"

#if HWY_TARGET == HWY_AVX3
#include "kernels/cpu/lanes.inc"
// After lanes.inc
#undef HWY_TARGET_STR
#define HWY_TARGET_STR HWY_TARGET_STR_AVX3 ",avx512bf16,avx512vbmi,amx-tile,amx-bf16"
// After HWY_TARGET_STR
#include "kernels/cpu/unit_rows.inc"
// After unit_rows.inc
#include "kernels/cpu/amx_tiles.inc"
#include "kernels/cpu/e4m3_words.inc"

#pragma GCC diagnostic push
// In GCC 12's own AVX-512 intrinsics.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"

HWY_BEFORE_NAMESPACE();
namespace troupe::kernels::HWY_NAMESPACE {
namespace {

/// Columns of a tile: two to a word.
inline constexpr std::size_t kColumns = kTileColumns;
static_assert(kColumns * sizeof(Bf16) == kTileWidth && kUnit == kTileRows);
/// Tiles of columns that share a scale of e4m3 weights.
inline constexpr std::size_t kBlockTiles = kScaleBlock / kColumns;
/// Tiles of columns that a panel has: with two units 32 KB, in the level-1 cache beside 4 KB of x.
inline constexpr std::size_t kPassTiles = 16;
inline constexpr std::size_t kPanelUnits = 2;
/// Strips up to which BF16 weights become tiles from where they are stored: int8_tiles.inc.
inline constexpr std::size_t kDirectStrips = 8;
/// Sums of a unit and a strip.
inline constexpr std::size_t kTileSums = kTileRows * kTileRows;

template <int kSums, int kWeights, int kX>
HWY_INLINE void multiply_tiles() {
  asm volatile("tdpbf16ps %%tmm%c0, %%tmm%c1, %%tmm%c2" : : "n"(kX), "n"(kWeights), "n"(kSums));
}

// ---- x ----

/// Rows of x in strips of 16, or one strip of fewer; lanes of no row hold the last one. Tiles lie
/// as they are met: kPassTiles of these two strips, side by side, then of the next two.
struct Strips {
  std::size_t first = 0;  // row of x
  std::size_t rows = 0;
  std::size_t tiles = 0;          // of columns
  std::uint8_t* words = nullptr;  // tile_bytes() each: [16 pairs of columns, lanes(), 2]

  HWY_INLINE std::size_t count() const { return (rows + kTileRows - 1) / kTileRows; }
  HWY_INLINE std::size_t lanes() const { return std::min(rows, kTileRows); }
  HWY_INLINE std::size_t tile_bytes() const { return kTileWidth * lanes(); }
  /// Where tile k of strip s lies.
  HWY_INLINE std::uint8_t* at(std::size_t s, std::size_t k) const {
    const std::size_t pass = k / kPassTiles * kPassTiles;
    const std::size_t together = std::min<std::size_t>(2, count() - s / 2 * 2);
    return words + tile_bytes() * (pass * count() + s / 2 * 2 * std::min(kPassTiles, tiles - pass) +
                                   k % kPassTiles * together + s % 2);
  }
};

/// 32 numbers of a row of which n are there, rounded to words of BF16, subnormal ones to zero of
/// their sign.
HWY_INLINE __m512i round_words(const float* from, std::size_t n) {
  const V low = load_first_floats(from, n);
  const V high = n > kWidth ? load_first_floats(from + kWidth, n - kWidth) : hn::Zero(F32());
  return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high.raw, low.raw));
}

HWY_NOINLINE void turn_rows(const LinearArgs& args, const Strips& strips) {
  const auto cols = static_cast<std::size_t>(args.w.cols);
  alignas(64) std::uint8_t rounded[kTileRows][kTileWidth];
  const UnitRows rows(reinterpret_cast<const std::byte*>(rounded), kTileWidth, 0, kTileRows);
  for (std::size_t s = 0; s < strips.count(); ++s)
    for (std::size_t k = 0; k < strips.tiles; ++k) {
      for (std::size_t r = 0; r < strips.lanes(); ++r) {
        const std::size_t row = strips.first + std::min(s * kTileRows + r, strips.rows - 1);
        _mm512_store_si512(
            rounded[r],
            round_words(args.x + static_cast<std::int64_t>(row) * args.x_stride + k * kColumns,
                        cols - k * kColumns));
      }
      auto* to = reinterpret_cast<std::int32_t*>(strips.at(s, k));
      if (strips.lanes() < kTileRows) {
        for (std::size_t pair = 0; pair < kColumns / 2; ++pair)
          for (std::size_t r = 0; r < strips.lanes(); ++r, ++to)
            std::memcpy(to, rounded[r] + pair * sizeof(*to), sizeof(*to));
        continue;
      }
      for (std::size_t piece = 0; piece < kTileWidth; piece += 16) {
        Words turned[4];
        load_turned(rows.at, piece, turned);
        for (std::size_t i = 0; i < 4; ++i)
          hn::Store(turned[i], I32(), to + (piece / 4 + i) * kTileRows);
      }
    }
}

// ---- weights ----

/// Tiles [begin, begin + tiles) of columns of features [feature, end).
struct Panel {
  std::size_t feature = 0;
  std::size_t end = 0;
  std::size_t begin = 0;
  std::size_t tiles = 0;
  std::uint8_t* words = nullptr;  // [tiles, units, kTileBytes]
};

struct WholeWeights {
  static constexpr std::size_t kBytes = 2;
  static constexpr bool kBlocks = false;
  HWY_INLINE WholeWeights() {}
  /// Tiles k and k + 1 of a feature, of which n columns are there.
  HWY_INLINE static void load(const std::uint8_t* from, std::size_t n, __m512i (&words)[2]) {
    const auto first = [](std::size_t count) {
      return count >= kColumns ? ~0U : (1U << count) - 1;
    };
    words[0] = _mm512_maskz_loadu_epi16(first(n), from);
    words[1] = _mm512_setzero_si512();
    if (n > kColumns) words[1] = _mm512_maskz_loadu_epi16(first(n - kColumns), from + kTileWidth);
  }
};

struct CodeWeights {
  static constexpr std::size_t kBytes = 1;
  static constexpr bool kBlocks = true;
  HWY_INLINE CodeWeights() : words_of() {}
  HWY_INLINE void load(const std::uint8_t* from, std::size_t n, __m512i (&words)[2]) const {
    const __mmask64 first = n >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << n) - 1;
    words_of(_mm512_maskz_loadu_epi8(first, from), words);
  }
  FromCodes<0> words_of;
};

template <class Format, std::size_t kUnits>
HWY_NOINLINE void copy_panel(const WeightMatrix& w, const Panel& panel) {
  const Format format;
  const auto cols = static_cast<std::size_t>(w.cols);
  for (std::size_t u = 0; u < kUnits; ++u) {
    const UnitRows rows(w.data, cols * Format::kBytes, panel.feature + u * kUnit, panel.end);
    for (std::size_t k = 0; k < panel.tiles; k += 2) {
      const std::size_t column = (panel.begin + k) * kColumns;
      std::uint8_t* to = panel.words + (k * kUnits + u) * kTileBytes;
      HWY_UNROLL(4)
      for (std::size_t f = 0; f < kUnit; ++f) {
        __m512i words[2];
        format.load(rows.at[f] + column * Format::kBytes, cols - column, words);
        _mm512_store_si512(to + f * kTileWidth, words[0]);
        _mm512_store_si512(to + kUnits * kTileBytes + f * kTileWidth, words[1]);
      }
    }
  }
}

// ---- products ----

/// Where weights lie: as stored or in a panel.
struct Weights {
  const std::uint8_t* at = nullptr;
  // Bytes from one row, unit, tile of columns to the next.
  std::size_t row = 0;
  std::size_t unit = 0;
  std::size_t tile = 0;
};

/// Some tiles of columns of some units against strips, one or two at a time.
struct TileJob {
  Weights weights;
  const std::uint8_t* x = nullptr;  // as Strips has it
  const float* scales = nullptr;    // of e4m3: of the first block
  std::size_t tiles = 0;            // of columns
  std::size_t times = 0;            // that strips are there
  // The next weights of e4m3, in memory's order: so many bytes of them are asked for with each
  // tile.
  const std::uint8_t* next = nullptr;
  std::size_t next_bytes = 0;
  std::size_t lanes = 0;  // of a strip
  float* sums = nullptr;  // [strips, units, kTileRows, lanes]
  bool first = false;     // nothing is in `sums` yet

  HWY_INLINE std::size_t row_bytes() const { return lanes * sizeof(float); }
  HWY_INLINE std::size_t tile_sums() const { return kTileRows * lanes; }
};

/// Raw sums of a block that wait for their scale.
struct Block {
  float* sums = nullptr;
  float scale = 0;
  bool first = false;
};

template <std::size_t kUnits, std::size_t kStrips>
class Bf16Tile {
 public:
  /// Tiles begin with the sums there, or with zeros.
  HWY_INLINE static void begin(const TileJob& job, const float* sums) {
    begin_one<0, 0>(job, sums);
    begin_one<0, 1>(job, sums);
    begin_one<1, 0>(job, sums);
    begin_one<1, 1>(job, sums);
  }
  HWY_INLINE static void store(const TileJob& job, float* sums) {
    store_one<0, 0>(job, sums);
    store_one<0, 1>(job, sums);
    store_one<1, 0>(job, sums);
    store_one<1, 1>(job, sums);
  }
  /// One tile of columns. kBegin: sums begin at zero, those before go to `raw` if kStore.
  template <bool kBegin, bool kStore>
  HWY_INLINE static void multiply(const TileJob& job, const Weights& weights, const std::uint8_t* x,
                                  float* raw) {
    load_weights<0>(weights);
    load_x<0>(job, x);
    one<0, 0, kBegin, kStore>(job, raw);
    load_x<1>(job, x);
    one<0, 1, kBegin, kStore>(job, raw);
    load_weights<1>(weights);
    one<1, 0, kBegin, kStore>(job, raw);
    one<1, 1, kBegin, kStore>(job, raw);
  }
  /// Raw sums of one unit and strip.
  HWY_INLINE static void scale(const TileJob& job, std::size_t quarter, const Block& block,
                               const float* raw) {
    const std::size_t u = quarter / 2;
    const std::size_t s = quarter % 2;
    if (!has(u, s)) return;
    const V factor = hn::Set(F32(), block.scale);
    const std::size_t at = (s * kUnits + u) * job.tile_sums();
    for (std::size_t i = at; i < at + job.tile_sums(); i += kWidth) {
      const V sum = block.first ? hn::Zero(F32()) : hn::Load(F32(), block.sums + i);
      hn::Store(hn::MulAdd(hn::Load(F32(), raw + i), factor, sum), F32(), block.sums + i);
    }
  }

 private:
  static constexpr bool has(std::size_t unit, std::size_t strip) {
    return unit < kUnits && strip < kStrips;
  }
  template <std::size_t kU, std::size_t kS>
  HWY_INLINE static void begin_one(const TileJob& job, const float* sums) {
    if constexpr (has(kU, kS)) {
      if (job.first) return clear_tile<number_tile(kU, kS)>();
      load_tile<number_tile(kU, kS)>(sums + (kS * kUnits + kU) * job.tile_sums(), job.row_bytes());
    }
  }
  template <std::size_t kU, std::size_t kS>
  HWY_INLINE static void store_one(const TileJob& job, float* sums) {
    if constexpr (has(kU, kS))
      store_tile<number_tile(kU, kS)>(sums + (kS * kUnits + kU) * job.tile_sums(), job.row_bytes());
  }
  template <std::size_t kU>
  HWY_INLINE static void load_weights(const Weights& weights) {
    if constexpr (kU < kUnits)
      load_tile<weight_tile(kU)>(weights.at + kU * weights.unit, weights.row);
  }
  template <std::size_t kS>
  HWY_INLINE static void load_x(const TileJob& job, const std::uint8_t* x) {
    if constexpr (kS < kStrips) load_tile<x_tile(kS)>(x + kS * kTileBytes, job.row_bytes());
  }
  template <std::size_t kU, std::size_t kS, bool kBegin, bool kStore>
  HWY_INLINE static void one(const TileJob& job, float* raw) {
    if constexpr (has(kU, kS)) {
      if constexpr (kStore) store_one<kU, kS>(job, raw);
      if constexpr (kBegin) clear_tile<number_tile(kU, kS)>();
      multiply_tiles<number_tile(kU, kS), weight_tile(kU), x_tile(kS)>();
    }
  }
};

/// BF16: sums stay in tiles through all columns of the job. The next weights are not asked for: the
/// hardware does, and what asks takes the buffers in which tiles wait for the level-2 cache.
template <std::size_t kUnits, std::size_t kStrips>
HWY_NOINLINE void run_whole(const TileJob& job) {
  using Tile = Bf16Tile<kUnits, kStrips>;
  const std::uint8_t* x = job.x;
  for (std::size_t t = 0; t < job.times; ++t) {
    float* sums = job.sums + t * kStrips * kUnits * job.tile_sums();
    Weights weights = job.weights;
    Tile::begin(job, sums);
    for (std::size_t k = 0; k < job.tiles; ++k) {
      Tile::template multiply<false, false>(job, weights, x, nullptr);
      weights.at += weights.tile;
      x += kStrips * kTileWidth * job.lanes;
    }
    Tile::store(job, sums);
  }
}

/// E4m3: raw sums begin anew with each block.
template <std::size_t kUnits, std::size_t kStrips>
HWY_NOINLINE void run_blocks(const TileJob& job) {
  using Tile = Bf16Tile<kUnits, kStrips>;
  alignas(64) float raw[kUnits * kStrips * kTileSums];
  const std::uint8_t* x = job.x;
  const std::uint8_t* next = job.next;
  Block before;
  for (std::size_t t = 0; t < job.times; ++t) {
    Weights weights = job.weights;
    const auto step = [&] {
      ask_for(next, job.next_bytes);
      next += job.next_bytes;
      weights.at += weights.tile;
      x += kStrips * kTileWidth * job.lanes;
    };
    for (std::size_t k = 0; k < job.tiles; k += kBlockTiles) {
      const std::size_t tiles = std::min(kBlockTiles, job.tiles - k);
      const bool waits = before.sums != nullptr;
      if (waits)
        Tile::template multiply<true, true>(job, weights, x, raw);
      else
        Tile::template multiply<true, false>(job, weights, x, raw);
      step();
      if (waits) Tile::scale(job, 0, before, raw);
      for (std::size_t i = 1; i < kBlockTiles; ++i) {
        if (i < tiles) {
          Tile::template multiply<false, false>(job, weights, x, raw);
          step();
        }
        if (waits) Tile::scale(job, i, before, raw);
      }
      before = {.sums = job.sums + t * kStrips * kUnits * job.tile_sums(),
                .scale = job.scales[k / kBlockTiles],
                .first = job.first && k == 0};
    }
  }
  Tile::store(job, raw);
  for (std::size_t i = 0; i < 4; ++i) Tile::scale(job, i, before, raw);
}

// ---- a call ----

template <class Format, std::size_t kUnits, std::size_t kStrips>
HWY_INLINE void run_tiles(const TileJob& job) {
  if constexpr (Format::kBlocks)
    run_blocks<kUnits, kStrips>(job);
  else
    run_whole<kUnits, kStrips>(job);
}

/// The columns of a panel against all strips.
template <class Format, std::size_t kUnits>
HWY_INLINE void run_strips(const Strips& strips, const Panel& panel, TileJob job) {
  const std::size_t pairs = strips.count() / 2;
  job.tiles = panel.tiles;
  job.x = strips.at(0, panel.begin);
  if (pairs > 0) {
    job.times = pairs;
    run_tiles<Format, kUnits, 2>(job);
    job.next_bytes = 0;
  }
  if (strips.count() % 2 == 0) return;
  job.x = strips.at(2 * pairs, panel.begin);
  job.sums += pairs * 2 * kUnits * job.tile_sums();
  job.times = 1;
  run_tiles<Format, kUnits, 1>(job);
}

/// The sums of features [begin, end), turned, to y.
template <std::size_t kUnits>
HWY_NOINLINE void put_sums(const LinearArgs& args, const Strips& strips, std::size_t begin,
                           std::size_t end, const TileJob& job) {
  alignas(64) float spread[kUnits * kTileSums];  // of fewer than 16 rows
  for (std::size_t s = 0; s < strips.count(); ++s) {
    const float* of_strip = job.sums + s * kUnits * job.tile_sums();
    if (job.lanes < kTileRows) {
      for (std::size_t f = 0; f < kUnits * kUnit; ++f)
        std::copy_n(of_strip + f * job.lanes, job.lanes, spread + f * kTileRows);
      of_strip = spread;
    }
    turn_sums<kUnits>(of_strip, std::min(kTileRows, strips.rows - s * kTileRows),
                      [&](std::size_t row, std::size_t u, V values) {
                        const std::size_t feature = begin + u * kUnit;
                        const std::size_t token = strips.first + s * kTileRows + row;
                        store_first_floats(
                            values,
                            args.y + static_cast<std::int64_t>(token) * args.y_stride + feature,
                            end - feature);
                      });
  }
}

/// How far ahead e4m3 codes are asked for where they meet one strip.
inline constexpr std::size_t kAheadBytes = 1024;

/// E4m3 codes of features [begin, end) against one strip: while the words of two tiles of columns
/// are multiplied those of the next two are made. memory: sums, four tiles of words for each unit.
template <std::size_t kUnits>
HWY_NOINLINE void stream_codes(const LinearArgs& args, const Strips& strips, std::size_t begin,
                               std::size_t end, float* memory) {
  using Tile = Bf16Tile<kUnits, 1>;
  constexpr std::size_t kFeatures = kUnits * kUnit;
  constexpr std::size_t kTogether = 2;
  const CodeWeights format;
  const auto cols = static_cast<std::size_t>(args.w.cols);
  const UnitRows rows[2] = {UnitRows(args.w.data, cols, begin, end),
                            UnitRows(args.w.data, cols, std::min(begin + kUnit, end - 1), end)};
  const float* scales =
      args.w.scales + static_cast<std::int64_t>(begin / kScaleBlock) * scale_blocks(args.w.cols);
  auto* words = reinterpret_cast<std::uint8_t*>(memory + kPanelUnits * kTileSums);
  TileJob job;
  job.lanes = strips.lanes();
  job.sums = memory;
  alignas(64) float raw[kUnits * kTileSums];
  Block before;
  for (std::size_t k = 0; k < strips.tiles; k += kTogether) {
    const std::size_t column = k * kColumns;
    // Where a row ends that of the next features begins.
    const std::size_t ahead = column + kAheadBytes;
    const std::size_t asked = ahead < cols ? ahead : ahead + (kFeatures - 1) * cols;
    std::uint8_t* to = words + k / kTogether % 2 * kTogether * kUnits * kTileBytes;
    for (std::size_t u = 0; u < kUnits; ++u) {
      HWY_UNROLL(4)
      for (std::size_t f = 0; f < kUnit; ++f) {
        __m512i both[2];
        hwy::Prefetch(rows[u].at[f] + asked);
        format.load(rows[u].at[f] + column, cols - column, both);
        _mm512_store_si512(to + u * kTileBytes + f * kTileWidth, both[0]);
        _mm512_store_si512(to + (kUnits + u) * kTileBytes + f * kTileWidth, both[1]);
      }
    }
    const std::uint8_t* x = strips.at(0, k);
    Weights weights{to, kTileWidth, kTileBytes, kUnits * kTileBytes};
    if (k % kBlockTiles != 0) {
      Tile::template multiply<false, false>(job, weights, x, raw);
    } else {
      if (k == 0) {
        Tile::template multiply<true, false>(job, weights, x, raw);
      } else {
        Tile::template multiply<true, true>(job, weights, x, raw);
        for (std::size_t u = 0; u < kUnits; ++u) Tile::scale(job, 2 * u, before, raw);
      }
      before = {.sums = job.sums, .scale = scales[k / kBlockTiles], .first = k == 0};
    }
    if (k + 1 == strips.tiles) break;
    weights.at += weights.tile;
    Tile::template multiply<false, false>(job, weights, x + strips.tile_bytes(), raw);
  }
  Tile::store(job, raw);
  for (std::size_t u = 0; u < kUnits; ++u) Tile::scale(job, 2 * u, before, raw);
  put_sums<kUnits>(args, strips, begin, end, job);
}

/// Features [begin, end), at most kUnits units, against all strips; memory: sums, a panel.
template <class Format, std::size_t kUnits>
HWY_NOINLINE void run_features(const LinearArgs& args, const Strips& strips, std::size_t begin,
                               std::size_t end, float* memory) {
  constexpr std::size_t kFeatures = kUnits * kUnit;
  const WeightMatrix& w = args.w;
  const auto cols = static_cast<std::size_t>(w.cols);
  const std::size_t row_bytes = cols * Format::kBytes;
  const auto* data = reinterpret_cast<const std::uint8_t*>(w.data) + begin * row_bytes;
  const std::size_t count = strips.count();
  float* sums = memory;
  Panel panel{.feature = begin, .end = end};
  panel.words = reinterpret_cast<std::uint8_t*>(memory + count * kPanelUnits * kTileSums);
  const std::size_t times = std::max<std::size_t>(count / 2, 1);
  TileJob job{.next = data + kFeatures * row_bytes,
              .next_bytes = round_up(kFeatures * kColumns * Format::kBytes / times, 64),
              .lanes = strips.lanes(),
              .sums = sums};
  const bool direct = !Format::kBlocks && end - begin == kFeatures && count <= kDirectStrips;
  for (; panel.begin < strips.tiles; panel.begin += panel.tiles) {
    panel.tiles = std::min(kPassTiles, strips.tiles - panel.begin);
    if (direct && (panel.begin + panel.tiles) * kColumns <= cols) {
      job.weights = {data + panel.begin * kTileWidth, row_bytes, kUnit * row_bytes, kTileWidth};
    } else {
      copy_panel<Format, kUnits>(w, panel);
      job.weights = {panel.words, kTileWidth, kTileBytes, kUnits * kTileBytes};
    }
    if constexpr (Format::kBlocks)
      job.scales = w.scales +
                   static_cast<std::int64_t>(begin / kScaleBlock) * scale_blocks(w.cols) +
                   panel.begin / kBlockTiles;
    job.first = panel.begin == 0;
    run_strips<Format, kUnits>(strips, panel, job);
    job.next += panel.tiles * times * job.next_bytes;
  }
  put_sums<kUnits>(args, strips, begin, end, job);
}

/// Stands for the way in which x is prepared here.
inline constexpr char kStripsForm = 0;

template <class Format>
HWY_NOINLINE void run_linear(const LinearArgs& args, std::size_t begin, std::size_t end) {
  const auto tokens = static_cast<std::size_t>(args.tokens);
  Strips strips;
  strips.tiles = (static_cast<std::size_t>(args.w.cols) + kColumns - 1) / kColumns;
  // Rows that are turned together take half of the level-2 cache, or are four strips.
  const std::size_t fit = cpu::level2_bytes() / 2 / (strips.tiles * kTileBytes);
  const std::size_t most = std::max<std::size_t>(4, fit / 2 * 2) * kTileRows;
  const std::size_t strips_most = (std::min(most, tokens) + kTileRows - 1) / kTileRows;
  float* memory = cpu::scratch(strips_most * kPanelUnits * kTileSums +
                               kPassTiles * kPanelUnits * kTileBytes / sizeof(float));
  for (; strips.first < tokens; strips.first += strips.rows) {
    strips.rows = std::min(most, tokens - strips.first);
    const Tiles tiles(kTileWidth, strips.lanes());
    const cpu::InputKey key(args, &kStripsForm, strips.first);
    const cpu::InputMemory input =
        cpu::input_memory(strips.count() * strips.tiles * strips.tile_bytes() / sizeof(float), key);
    strips.words = reinterpret_cast<std::uint8_t*>(input.floats);
    if (!input.prepared) turn_rows(args, strips);
    cpu::keep_input(key);
    for_each_units(begin, end, [&](auto units, std::size_t first, std::size_t until) {
      if (Format::kBlocks && strips.count() == 1)
        stream_codes<units>(args, strips, first, until, memory);
      else
        run_features<Format, units>(args, strips, first, until, memory);
    });
  }
}

void linear_tiles(const LinearArgs& args, std::int64_t begin, std::int64_t end) {
  check_linear_tiles(args);
  if (args.tokens <= 0 || begin >= end) return;
  const MxcsrGuard flushed(MxcsrGuard::Subnormals::flush);
  const auto b = static_cast<std::size_t>(begin);
  const auto e = static_cast<std::size_t>(end);
  if (args.w.dtype == DType::bf16) return run_linear<WholeWeights>(args, b, e);
  run_linear<CodeWeights>(args, b, e);
}

/// Four chains, as a tile of the products has them.
std::int64_t tile_probe(std::int64_t rounds, float* result) {
  alignas(64) float numbers[kTileSums];
  std::memset(numbers, 0x3f, sizeof(numbers));
  const Tiles tiles(kTileWidth);
  load_tile<weight_tile(0)>(numbers, kTileWidth);
  load_tile<x_tile(0)>(numbers, kTileWidth);
  clear_tile<0>();
  clear_tile<1>();
  clear_tile<2>();
  clear_tile<3>();
  for (std::int64_t n = 0; n < rounds; ++n) {
    multiply_tiles<0, weight_tile(0), x_tile(0)>();
    multiply_tiles<1, weight_tile(0), x_tile(0)>();
    multiply_tiles<2, weight_tile(0), x_tile(0)>();
    multiply_tiles<3, weight_tile(0), x_tile(0)>();
  }
  store_tile<0>(numbers);
  *result = numbers[0];
  return rounds * static_cast<std::int64_t>(4 * kTileSums * kColumns * 2);
}

}  // namespace
}  // namespace troupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#pragma GCC diagnostic pop

namespace troupe::kernels::cpu {
LinearFn amx_linear_tiles() { return N_AVX3::linear_tiles; }
FmaProbeFn amx_tile_probe() { return N_AVX3::tile_probe; }
}  // namespace troupe::kernels::cpu
#endif
