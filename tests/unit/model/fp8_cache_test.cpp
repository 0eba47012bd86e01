// A model with the FP8 latent cache: what it caches, that nothing else changes its bits, what it
// costs.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/support/golden_arrays.hpp"
#include "tests/support/local_forward.hpp"
#include "tests/unit/kernels/cache_pages.hpp"

namespace troupe {
namespace {

using model::ActivationMode;
using model::KvCache;
using model::Numerics;

struct Computing {
  int threads = 1;
  std::string_view level = "auto";
  std::int64_t chunk = 1000;
};

class Fp8Cache : public ::testing::TestWithParam<const char*> {
 protected:
  Fp8Cache()
      : checkpoint_(*model::Checkpoint::open(testing::golden_dir(GetParam()) / "model")),
        tokens_(testing::GoldenArrays(GetParam()).ints("s129.tokens")) {}

  std::vector<float> logits(const Numerics& numerics, const Computing& setup = {}) {
    kernels::ComputePool pool({.threads = setup.threads, .jobs_max = 4});
    const kernels::Engine engine{*kernels::select_level(setup.level), &pool};
    return testing::LocalForward(checkpoint_, numerics, engine).logits(tokens_, setup.chunk);
  }

  model::Checkpoint checkpoint_;
  std::vector<std::int32_t> tokens_;
};

TEST_P(Fp8Cache, HoldsWhatTheExactOneHoldsQuantisedOnce) {
  kernels::ComputePool pool({.threads = 2, .jobs_max = 4});
  const kernels::Engine engine{*kernels::select_level("auto"), &pool};
  testing::LocalForward exact(checkpoint_, {ActivationMode::f32}, engine);
  testing::LocalForward fp8(checkpoint_, {ActivationMode::f32, KvCache::fp8}, engine);
  for (testing::LocalForward* local : {&exact, &fp8}) local->logits(tokens_, 50);
  const kernels::CacheEntry& plain = exact.pool.shape().entry;
  const kernels::CacheEntry& entry = fp8.pool.shape().entry;
  ASSERT_EQ(entry.dtype, DType::f8_e4m3);
  // Of layer 0, whose input is the same for both. Pages keep their memory when they are given back.
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    const auto page = static_cast<model::PageId>(i) / 64;
    const std::byte* from = exact.pool.layer_page(page, 0) + (i % 64) * plain.bytes();
    const std::byte* at = fp8.pool.layer_page(page, 0) + (i % 64) * entry.bytes();
    const auto value = [&](std::int64_t k) { return kernels::cached_value(plain, from, k); };
    for (std::int64_t k = 0; k < entry.width(); ++k) {
      float want = round_to_bf16(value(k));
      if (k < entry.latent) {
        float amax = 1e-4f;
        const std::int64_t block = k / 128 * 128;
        for (std::int64_t j = block; j < std::min(block + 128, entry.latent); ++j)
          amax = std::max(amax, std::fabs(value(j)));
        const float scale = amax / 448.0f;
        want = e4m3_to_f32(f32_to_e4m3(value(k) / scale)) * scale;
      }
      ASSERT_EQ(kernels::cached_value(entry, at, k), want) << "position " << i << " column " << k;
    }
  }
}

TEST_P(Fp8Cache, GivesTheSameBitsWhateverLevelChunkAndThreads) {
  const Numerics numerics{ActivationMode::bf16, KvCache::fp8};
  const auto want = logits(numerics);
  EXPECT_NE(want, logits({ActivationMode::bf16}));
  for (const auto* level : kernels::available_levels())
    EXPECT_EQ(logits(numerics, {2, level->name, 7}), want) << level->name;
  EXPECT_EQ(logits(numerics, {3, "auto", 64}), want);
  EXPECT_EQ(logits(numerics, {2, "auto", 1}), want);
}

/// Mean over the rows of KL(p || q), p and q the softmax of the logits.
double mean_kl(const std::vector<float>& p, const std::vector<float>& q, std::size_t vocabulary) {
  const auto log_sum = [&](const float* row) {
    double sum = 0;
    for (std::size_t i = 0; i < vocabulary; ++i) sum += std::exp(static_cast<double>(row[i]));
    return std::log(sum);
  };
  double total = 0;
  for (std::size_t at = 0; at < p.size(); at += vocabulary) {
    const double log_p = log_sum(&p[at]);
    const double log_q = log_sum(&q[at]);
    for (std::size_t i = at; i < at + vocabulary; ++i)
      total += std::exp(p[i] - log_p) * ((p[i] - log_p) - (q[i] - log_q));
  }
  return total / static_cast<double>(p.size() / vocabulary);
}

TEST_P(Fp8Cache, CostsLessThanQuantisedActivations) {
  // The same bits on every machine, so there is no margin to choose.
  const auto exact = logits({ActivationMode::f32});
  const auto vocabulary = static_cast<std::size_t>(checkpoint_.config().vocab_size);
  const double cache = mean_kl(exact, logits({ActivationMode::f32, KvCache::fp8}), vocabulary);
  const double rows = mean_kl(exact, logits({ActivationMode::fp8_act}), vocabulary);
  EXPECT_GT(cache, 0);
  EXPECT_LT(cache, rows);
}

INSTANTIATE_TEST_SUITE_P(Models, Fp8Cache, ::testing::Values("v3-mini", "v31-mini"),
                         [](const auto& info) {
                           std::string name(info.param);
                           std::erase(name, '-');
                           return name;
                         });

}  // namespace
}  // namespace troupe
