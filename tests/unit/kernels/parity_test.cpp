// Every level of this machine equals the scalar reference bit for bit, on every operation.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "core/dtype.hpp"
#include "kernels/cpu/levels.hpp"
#include "kernels/registry.hpp"
#include "tests/unit/kernels/cache_pages.hpp"
#include "tests/unit/kernels/parity.hpp"
#include "tests/unit/kernels/stored_weight.hpp"

namespace troupe::kernels {
namespace {

/// Entries of every kind: codes and scales as they come, the rest of many magnitudes.
CachePages random_pages(std::mt19937& random, const CacheEntry& entry, std::int64_t positions) {
  CachePages pages(entry, positions);
  pages.write(*available_levels().front(), random_floats(random, positions * entry.width()));
  if (!entry.quantised()) return pages;
  for (std::int64_t i = 0; i < positions; ++i) {
    for (std::int64_t k = 0; k < entry.latent; ++k) {
      const auto code = static_cast<std::uint8_t>(random());
      pages.at(i)[k] = static_cast<std::byte>(is_e4m3_nan(code) ? 0x80 : code);
    }
    const std::vector<float> scales = random_floats(random, scale_blocks(entry.latent));
    std::memcpy(pages.at(i) + entry.scales_at(), scales.data(), scales.size() * sizeof(float));
  }
  return pages;
}

TEST_P(Parity, LinearOnRandomShapes) {
  for (int i = 0; i < 270; ++i) {
    const WeightFormat& format = kFormats[static_cast<std::size_t>(i) % kFormats.size()];
    // Some have rows long enough for features to be streamed side by side in every format.
    const bool wide = i >= 180;
    const std::int64_t rows = 1 + random_() % (wide ? 40 : 300);
    const std::int64_t cols = format.width(wide ? 2048 + random_() % 2600 : 1 + random_() % 700);
    const std::int64_t few = wide ? std::array{1, 2, 4, 7}[random_() % 4] : 1 + random_() % 8;
    const std::int64_t tokens = i / 9 % 2 == 0 ? few : 1 + random_() % 60;
    const bool quantised = format.dtype == DType::f8_e4m3 && i % 4 == 0;
    const StoredWeight w = random_weight(random_, format, rows, cols, random_floats);
    const std::vector<float> x = random_floats(random_, tokens * cols);
    const std::vector<float> x_scales = random_floats(random_, tokens * scale_blocks(cols));
    std::vector<float> want(static_cast<std::size_t>(tokens * rows), -7.0f);
    std::vector<float> got = want;
    LinearArgs args{
        .x = x.data(), .x_stride = cols, .w = w.view, .y_stride = rows, .tokens = tokens};
    if (quantised) args.x_scales = x_scales.data();
    const std::int64_t begin = random_() % static_cast<std::uint64_t>(rows);
    const std::int64_t end = begin + 1 + random_() % static_cast<std::uint64_t>(rows - begin);
    args.y = want.data();
    reference_->linear(args, begin, end);
    args.y = got.data();
    level_->linear(args, begin, end);
    expect_same(want, got,
                "rows " + std::to_string(rows) + " cols " + std::to_string(cols) + " tokens " +
                    std::to_string(tokens) + " " + std::string(format.name));
  }
}

TEST_P(Parity, LinearWithInputsTooLargeToBeScaled) {
  for (const WeightFormat& format :
       {kE4m3, kInt8Blocks, kInt8Rows, kInt4, kInt4Zeroed32, kInt4Zeroed96}) {
    const std::int64_t cols = format.width(200);
    const StoredWeight w = random_weight(random_, format, 40, cols, random_floats);
    std::vector<float> x = random_floats(random_, cols);
    x[17] = 0x1.8p70f;
    x[199] = -0x1.2p100f;
    std::vector<float> want(40);
    std::vector<float> got(40);
    LinearArgs args{.x = x.data(), .x_stride = cols, .w = w.view, .y_stride = 40, .tokens = 1};
    args.y = want.data();
    reference_->linear(args, 0, 40);
    args.y = got.data();
    level_->linear(args, 0, 40);
    expect_same(want, got, "large " + std::string(format.name));
  }
}

/// Streams of e4m3 multiply x by a power of two, exactly, and leave what that would round or
/// overflow to panels. A row of such values alone, since others would hide their last bits.
TEST_P(Parity, LinearOfE4m3WithInputsOfEveryExponentAtWhichTheirPathChanges) {
  constexpr std::int64_t kCols = 150;
  const StoredWeight w = random_weight(random_, kE4m3, 40, kCols, normal_floats);
  for (const int exponent : {-126, -102, -90, -81, -80, -79, -78, -77, 61, 62, 63, 64})
    for (const std::int64_t tokens : {1, 2, 5, 6, 7, 8}) {
      std::vector<float> x(static_cast<std::size_t>(tokens * kCols));
      for (float& v : x) {
        const float significand = 1 + std::ldexp(static_cast<float>(random_() >> 9), -23);
        v = std::ldexp(random_() % 2 == 0 ? significand : -significand, exponent);
      }
      expect_reference_bits(
          {.x = x.data(), .x_stride = kCols, .w = w.view, .tokens = tokens},
          "exponent " + std::to_string(exponent) + " rows " + std::to_string(tokens));
    }
}

/// Rows and weights that products of BF16 may be used for.
std::vector<float> ordinary_bf16(std::mt19937& random, std::int64_t n) {
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<std::size_t>(n));
  for (float& v : values) v = random() % 16 == 0 ? -0.0f : round_to_bf16(normal(random));
  return values;
}

/// What may stand among them: subnormals of either format, products of which become subnormal,
/// sums that overflow, what is not finite (with a payload), and what is no BF16.
const std::array<float, 11> kStrays{0x1p-127f,
                                    0x1p-133f,
                                    0x1p-149f,
                                    1.5e-20f,
                                    0x1.02p-126f,
                                    0x1.fep127f,
                                    INFINITY,
                                    -0x1.8p120f,
                                    1 / 3.0f,
                                    0x1p-54f,
                                    std::bit_cast<float>(0xffc50000u)};

TEST_P(Parity, LinearOfBf16RowsWithStraysAmongThem) {
  for (const WeightFormat& format : {kBf16, kE4m3})
    for (const std::int64_t cols : {1, 31, 32, 33, 127, 129, 160, 576, 1100})
      for (const std::int64_t tokens : {1, 3, 4, 5, 29, 30, 31, 68, 130}) {
        const StoredWeight w = random_weight(random_, format, 21, cols, ordinary_bf16);
        for (int kind = 0; kind < 3; ++kind) {  // none; in one row; in every third
          std::vector<float> x = ordinary_bf16(random_, tokens * cols);
          for (std::int64_t t = random_() % 3; kind > 0 && t < tokens; t += kind == 1 ? tokens : 3)
            x[static_cast<std::size_t>(t * cols + random_() % cols)] =
                kStrays[random_() % kStrays.size()];
          const std::vector<float> x_scales = random_floats(random_, tokens * scale_blocks(cols));
          std::vector<float> want(static_cast<std::size_t>(tokens * 21));
          std::vector<float> got = want;
          LinearArgs args{
              .x = x.data(), .x_stride = cols, .w = w.view, .y_stride = 21, .tokens = tokens};
          if (format.dtype == DType::f8_e4m3 && tokens % 2 == 0) args.x_scales = x_scales.data();
          args.y = want.data();
          reference_->linear(args, 1, 21);
          args.y = got.data();
          level_->linear(args, 1, 21);
          expect_same(want, got,
                      std::string(format.name) + " cols " + std::to_string(cols) + " tokens " +
                          std::to_string(tokens) + " kind " + std::to_string(kind));
        }
      }
}

TEST_P(Parity, LinearOfBf16WeightsWithAStrayAmongThem) {
  for (const float stray : kStrays)
    for (const std::int64_t cols : {1, 33, 160, 576}) {
      constexpr std::int64_t kRows = 37;
      StoredWeight w = random_weight(random_, kBf16, kRows, cols, ordinary_bf16);
      const Bf16 bits = f32_to_bf16(stray);
      std::memcpy(&w.bytes[2 * (random_() % static_cast<std::uint64_t>(kRows * cols))], &bits, 2);
      for (const float scale : {1.0f, 0x1p-60f, 0x1p-90f, 0x1p100f})
        for (const std::int64_t tokens : {1, 6, 32}) {
          std::vector<float> x = ordinary_bf16(random_, tokens * cols);
          for (float& v : x) v *= scale;
          expect_reference_bits({.x = x.data(), .x_stride = cols, .w = w.view, .tokens = tokens},
                                "stray " + std::to_string(stray) + " cols " + std::to_string(cols) +
                                    " rows " + std::to_string(tokens) + " scale " +
                                    std::to_string(scale));
        }
    }
}

/// Of more rows than are packed at a time the first lot leaves out one feature, whose subnormal
/// lies far into its row, the second all.
TEST_P(Parity, LinearOfMoreRowsThanArePackedAtATime) {
  constexpr std::int64_t kRows = 64;
  constexpr std::int64_t kCols = 7168;
  constexpr std::int64_t kTokens = 293;  // 4 MiB hold 292 rows of BF16: lots of 147 and 146
  constexpr std::int64_t kAt = 5000;
  StoredWeight w = random_weight(random_, kBf16, kRows, kCols, ordinary_bf16);
  std::memset(w.bytes.data(), 0, 2 * kCols);
  const Bf16 subnormal = f32_to_bf16(0x1p-130f);
  std::memcpy(&w.bytes[2 * kAt], &subnormal, 2);
  std::vector<float> x = ordinary_bf16(random_, kTokens * kCols);
  x[kAt] = 0x1p60f;  // the one product of that feature
  for (std::int64_t t = 147; t < kTokens; ++t)
    x[static_cast<std::size_t>(t * kCols)] = 0x1.000002p0f;  // no BF16
  expect_reference_bits({.x = x.data(), .x_stride = kCols, .w = w.view, .tokens = kTokens},
                        "293 rows");
}

TEST_P(Parity, LinearOfMoreQuantisedRowsThanArePackedAtATime) {
  constexpr std::int64_t kCols = 65536;
  constexpr std::int64_t kTokens = 40;  // 4 MiB hold 16 rows of F32, 32 of BF16
  const StoredWeight w = random_weight(random_, kE4m3, 2, kCols, random_floats);
  const std::vector<float> x = ordinary_bf16(random_, kTokens * kCols);
  const std::vector<float> scales = random_floats(random_, kTokens * scale_blocks(kCols));
  expect_reference_bits(
      {.x = x.data(), .x_stride = kCols, .x_scales = scales.data(), .w = w.view, .tokens = kTokens},
      "40 quantised rows");
}

/// The second share begins with the rows that the first one ended with. Its feature is only of
/// subnormals, which all rows leave out.
TEST_P(Parity, LinearOfMoreRowsThanArePackedAtATimeInTwoShares) {
  constexpr std::int64_t kCols = 65536;
  constexpr std::int64_t kTokens = 70;  // 4 MiB hold 32 rows of BF16
  StoredWeight w = random_weight(random_, kBf16, 2, kCols, ordinary_bf16);
  const std::vector<Bf16> subnormals(kCols, f32_to_bf16(0x1p-130f));
  std::memcpy(&w.bytes[2 * kCols], subnormals.data(), 2 * kCols);
  const std::vector<float> x = ordinary_bf16(random_, kTokens * kCols);
  for (int time = 0; time < 2; ++time)
    expect_reference_bits({.x = x.data(), .x_stride = kCols, .w = w.view, .tokens = kTokens},
                          "70 rows");
}

TEST_P(Parity, LinearOfEveryE4m3Code) {
  std::vector<std::byte> codes;
  for (int code = 0; code < 256; ++code)  // 17 columns each, one row of each code
    codes.insert(codes.end(), 17, static_cast<std::byte>(code));
  const std::vector<float> scales(2, 0.7f);
  const WeightMatrix w{.data = codes.data(),
                       .dtype = DType::f8_e4m3,
                       .rows = 256,
                       .cols = 17,
                       .scales = scales.data()};
  for (const std::int64_t tokens : {1, 2, 9}) {
    const std::vector<float> x = ordinary_bf16(random_, tokens * w.cols);
    std::vector<float> want(static_cast<std::size_t>(tokens * w.rows));
    std::vector<float> got = want;
    LinearArgs args{
        .x = x.data(), .x_stride = w.cols, .w = w, .y_stride = w.rows, .tokens = tokens};
    args.y = want.data();
    reference_->linear(args, 0, w.rows);
    args.y = got.data();
    level_->linear(args, 0, w.rows);
    expect_same(want, got, "tokens " + std::to_string(tokens));
  }
}

TEST_P(Parity, MlaAttentionOnRandomShapes) {
  for (int i = 0; i < 36; ++i) {
    const std::int64_t latent = i % 4 == 0 ? 512 : 1 + random_() % 200;
    const std::int64_t rope = 2 * (1 + random_() % 32);
    const std::int64_t width = latent + rope;
    const std::int64_t heads = 1 + random_() % 20;
    const std::int64_t rows = 1 + random_() % 9;
    const std::int64_t first = i % 5 == 0 ? random_() % 700 : random_() % 60;
    const DType dtype = kCacheDtypes[static_cast<std::size_t>(i) % kCacheDtypes.size()];
    const CachePages cache = random_pages(random_, {dtype, latent, rope}, first + rows);
    const std::vector<float> q = random_floats(random_, rows * heads * width);
    std::vector<float> want(static_cast<std::size_t>(rows * heads * latent));
    std::vector<float> got = want;
    MlaAttentionArgs args{.q = q.data(),
                          .pages = cache.pointers.data(),
                          .cache_dtype = dtype,
                          .rows = rows,
                          .heads = heads,
                          .latent = latent,
                          .rope = rope,
                          .first_position = first,
                          .scale = 0.03f};
    args.o = want.data();
    reference_->mla_attention(args, 0, rows * heads);
    args.o = got.data();
    for (std::int64_t begin = 0; begin < rows * heads;) {  // shares of any size
      const std::int64_t end = std::min<std::int64_t>(rows * heads, begin + 1 + random_() % 50);
      level_->mla_attention(args, begin, end);
      begin = end;
    }
    expect_same(want, got,
                std::string(to_string(dtype)) + " latent " + std::to_string(latent) + " rope " +
                    std::to_string(rope) + " heads " + std::to_string(heads) + " rows " +
                    std::to_string(rows) + " first " + std::to_string(first));
  }
}

TEST_P(Parity, RmsNorm) {
  for (int i = 0; i < 40; ++i) {
    const std::int64_t width = 1 + random_() % 600;
    const std::int64_t rows = 1 + random_() % 5;
    const std::vector<float> x = random_floats(random_, rows * width);
    const std::vector<float> w = random_floats(random_, width);
    std::vector<float> want(x.size());
    std::vector<float> got(x.size());
    RmsNormArgs args{.x = x.data(),
                     .x_stride = width,
                     .w = w.data(),
                     .y_stride = width,
                     .rows = rows,
                     .width = width,
                     .eps = 1e-6f,
                     .round_to_bf16 = i % 2 == 0};
    args.y = want.data();
    reference_->rms_norm(args, 0, rows);
    args.y = got.data();
    level_->rms_norm(args, 0, rows);
    expect_same(want, got, "width " + std::to_string(width));
  }
}

TEST_P(Parity, Rope) {
  for (const std::int64_t rope : {2, 8, 16, 34, 64}) {
    const std::int64_t rows = 3;
    const std::int64_t heads = 2;
    std::vector<float> want = random_floats(random_, rows * heads * rope);
    std::vector<float> got = want;
    const std::vector<float> c = random_floats(random_, rows * rope / 2);
    const std::vector<float> s = random_floats(random_, rows * rope / 2);
    RopeArgs args{.row_stride = heads * rope,
                  .head_stride = rope,
                  .cos = c.data(),
                  .sin = s.data(),
                  .rows = rows,
                  .heads = heads,
                  .rope = rope};
    args.x = want.data();
    reference_->rope(args, 0, rows);
    args.x = got.data();
    level_->rope(args, 0, rows);
    expect_same(want, got, "rope " + std::to_string(rope));
  }
}

TEST_P(Parity, SwigluAndSigmoidFromUnderflowToOverflow) {
  for (const std::int64_t width : {1, 7, 16, 333}) {
    std::vector<float> gate = random_floats(random_, 2 * width);
    for (float& g : gate)
      if (random_() % 4 == 0) g *= 50.0f;
    const std::vector<float> up = random_floats(random_, 2 * width);
    std::vector<float> want(gate.size());
    std::vector<float> got(gate.size());
    for (const bool round : {false, true}) {
      SwigluArgs args{
          .gate = gate.data(), .up = up.data(), .rows = 2, .width = width, .round_to_bf16 = round};
      args.y = want.data();
      reference_->swiglu(args, 0, 2);
      args.y = got.data();
      level_->swiglu(args, 0, 2);
      expect_same(want, got, "swiglu");
    }
    reference_->sigmoid(gate.data(), want.data(), 2 * width);
    level_->sigmoid(gate.data(), got.data(), 2 * width);
    expect_same(want, got, "sigmoid");
  }
}

TEST_P(Parity, ExpOfEveryKindOfNumber) {
  // sigmoid exposes exp: all exponents and both signs, every 997th pattern of bits.
  std::vector<float> x;
  for (std::uint64_t pattern = 0; pattern < (1ull << 32); pattern += 99991)
    x.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(pattern)));
  for (float v : {INFINITY, -INFINITY, 104.0f, -104.0f, 88.7228f, 89.0f, -89.0f}) x.push_back(v);
  std::erase_if(x, [](float v) { return v != v; });
  std::vector<float> want(x.size());
  std::vector<float> got(x.size());
  reference_->sigmoid(x.data(), want.data(), static_cast<std::int64_t>(x.size()));
  level_->sigmoid(x.data(), got.data(), static_cast<std::int64_t>(x.size()));
  expect_same(want, got, "sigmoid");
}

TEST_P(Parity, Quantise) {
  for (int i = 0; i < 40; ++i) {
    const std::int64_t width = 1 + random_() % 500;
    const std::int64_t rows = 3;
    std::vector<float> x = random_floats(random_, rows * width);
    if (i % 5 == 0) std::fill(x.begin(), x.begin() + width, 0.0f);
    std::vector<float> want(x.size());
    std::vector<float> got(x.size());
    std::vector<float> want_scales(static_cast<std::size_t>(rows * scale_blocks(width)));
    std::vector<float> got_scales = want_scales;
    QuantiseArgs args{
        .x = x.data(), .x_stride = width, .rows = rows, .width = width, .ue8m0 = i % 2 == 0};
    args.q = want.data();
    args.scales = want_scales.data();
    reference_->quantise(args, 0, rows);
    args.q = got.data();
    args.scales = got_scales.data();
    level_->quantise(args, 0, rows);
    expect_same(want, got, "q");
    expect_same(want_scales, got_scales, "scales");
  }
}

TEST_P(Parity, RoundingPackingAddingAndStats) {
  for (const std::int64_t n : {1, 5, 8, 16, 17, 31, 64, 1000}) {
    std::vector<float> x = random_floats(random_, n);
    x[0] = 1e38f;
    const std::vector<float> y = random_floats(random_, n);
    std::vector<float> want(x.size());
    std::vector<float> got(x.size());
    reference_->round_bf16(x.data(), want.data(), n);
    level_->round_bf16(x.data(), got.data(), n);
    expect_same(want, got, "round_bf16");
    std::vector<std::byte> packed(static_cast<std::size_t>(2 * n + 1));
    level_->pack_bf16(x.data(), packed.data() + 1, n);
    level_->unpack_bf16(packed.data() + 1, got.data(), n);
    expect_same(want, got, "pack and unpack at an odd address");
    for (const bool round : {false, true}) {
      want = got = x;
      reference_->add(want.data(), y.data(), n, round);
      level_->add(got.data(), y.data(), n, round);
      expect_same(want, got, "add");
    }
    reference_->axpy(want.data(), y.data(), 0.3f, n);
    level_->axpy(got.data(), y.data(), 0.3f, n);
    expect_same(want, got, "axpy");
    x[0] = 3.0f;
    const SoftmaxStats a = reference_->softmax_stats(x.data(), n);
    const SoftmaxStats b = level_->softmax_stats(x.data(), n);
    expect_same({a.max, a.sum}, {b.max, b.sum}, "softmax_stats");
  }
}

INSTANTIATE_TEST_SUITE_P(Levels, Parity, kVectorLevels,
                         [](const auto& info) { return info.param; });

TEST(SelectLevel, NamesWhatItKnows) {
  EXPECT_EQ(select_level("avx1024").error().code, Errc::invalid_argument);
  EXPECT_NE(select_level("avx1024").error().detail.find("reference"), std::string::npos);
  ASSERT_TRUE(select_level("auto"));
  EXPECT_EQ(*select_level("auto"), available_levels().back());
  EXPECT_EQ(available_levels().front()->name, "reference");
  for (const std::string_view name : known_levels()) {
    const auto level = select_level(name);
    if (!level) {
      EXPECT_EQ(level.error().code, Errc::unsupported_cpu) << name;
    }
  }
}

}  // namespace
}  // namespace troupe::kernels
