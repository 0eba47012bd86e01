// The promise of equal bits (design I1): however a cluster is laid out and a request is batched.
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <tuple>

#include "actors/local_cluster.hpp"
#include "tests/support/actor_listener.hpp"
#include "tests/support/source_dir.hpp"

namespace troupe::actors {
namespace {

using model::ActivationMode;
using model::KvCache;
using model::Numerics;
using testing::Recorder;

const model::Checkpoint& checkpoint(const std::string& path) {
  static std::map<std::string, model::Checkpoint> open;
  auto found = open.find(path);
  if (found == open.end()) {
    auto fresh = model::Checkpoint::open(std::string(troupe::kSourceDir) + "/" + path);
    EXPECT_TRUE(fresh) << (fresh ? "" : fresh.error().detail);
    found = open.emplace(path, std::move(*fresh)).first;
  }
  return found->second;
}

/// Sixteen requests of different lengths, sampling parameters and seeds.
std::vector<GenerateRequest> requests(const model::ModelConfig& config) {
  std::vector<GenerateRequest> all;
  std::uint32_t state = 12345;  // a fixed sequence: what is drawn here never changes
  for (int i = 0; i < 16; ++i) {
    GenerateRequest request;
    const int length = i == 0 ? 150 : 1 + 7 * i;
    for (int t = 0; t < length; ++t) {
      state = state * 1664525u + 1013904223u;
      request.prompt.push_back(static_cast<std::int32_t>((state >> 8) % config.vocab_size));
    }
    request.sampling.temperature = i % 3 == 0 ? 0.0f : 0.8f;
    request.sampling.top_p = i % 2 == 0 ? 1.0f : 0.9f;
    request.sampling.repetition_penalty = i % 5 == 4 ? 1.2f : 1.0f;
    request.sampling.seed = 1000u + static_cast<std::uint64_t>(i);
    request.sampling.max_tokens = 12;
    request.sampling.ignore_eos = true;
    all.push_back(std::move(request));
  }
  return all;
}

/// Tokens and raw logprob bits of one request.
using Bits = std::pair<std::vector<std::int32_t>, std::vector<std::uint32_t>>;

std::vector<Bits> generate(const std::string& path, const ClusterSettings& settings,
                           std::size_t first = 0, std::size_t count = 16) {
  const auto& model = checkpoint(path);
  auto cluster = LocalCluster::start(model, settings);
  EXPECT_TRUE(cluster) << (cluster ? "" : cluster.error().detail);
  if (!cluster) return {};
  auto all = requests(model.config());
  std::vector<std::shared_ptr<Recorder>> heard;
  for (std::size_t i = first; i < first + count; ++i) {
    heard.push_back(std::make_shared<Recorder>());
    EXPECT_TRUE((*cluster)->submit(all[i], heard.back()));
  }
  std::vector<Bits> bits;
  for (auto& one : heard) {
    EXPECT_TRUE(one->wait());
    EXPECT_EQ(one->reason, FinishReason::length) << one->error.detail;
    EXPECT_EQ(one->tokens.size(), 12u);
    EXPECT_EQ(one->usage.replay_mismatches, 0);
    bits.emplace_back(one->tokens, one->logprob_bits);
  }
  EXPECT_EQ((*cluster)->status().stale_frames_total, 0);
  return bits;
}

ClusterSettings plain(const Numerics& numerics) {
  ClusterSettings settings;
  settings.mode = numerics.mode;
  settings.kv_cache = numerics.kv_cache;
  settings.threads = 2;
  return settings;
}

const std::string kMini = "tests/goldens/v3-mini/model";

class EqualBits : public ::testing::TestWithParam<Numerics> {
 protected:
  const std::vector<Bits>& expected() {
    static std::map<std::pair<ActivationMode, KvCache>, std::vector<Bits>> once;
    auto& bits = once[{GetParam().mode, GetParam().kv_cache}];
    if (bits.empty()) bits = generate(kMini, plain(GetParam()));
    return bits;
  }
};

TEST_P(EqualBits, WhateverTheNumberOfExpertShards) {
  for (const int experts : {2, 3, 8}) {
    auto settings = plain(GetParam());
    settings.experts = experts;
    EXPECT_EQ(generate(kMini, settings), expected()) << experts << " expert shards";
  }
}

TEST_P(EqualBits, WithTwoAttentionShardsAndTwoRouters) {
  auto settings = plain(GetParam());
  settings.experts = 3;
  settings.attention = 2;
  settings.routers = 2;
  settings.frame_rows_max = 5;  // many work items, over both routers
  EXPECT_EQ(generate(kMini, settings), expected());
}

TEST_P(EqualBits, WhateverTheNumberOfThreads) {
  for (const int threads : {1, 3}) {
    auto settings = plain(GetParam());
    settings.threads = threads;
    EXPECT_EQ(generate(kMini, settings), expected()) << threads << " threads";
  }
}

TEST_P(EqualBits, WhateverTheChunk) {
  for (const std::int64_t chunk : {1, 7, 64, 100000}) {
    auto settings = plain(GetParam());
    settings.chunk = chunk;
    settings.step_rows_max = chunk == 100000 ? 100000 : 256;
    EXPECT_EQ(generate(kMini, settings), expected()) << "chunk " << chunk;
  }
}

TEST_P(EqualBits, AloneAndInABatchOfSixteen) {
  for (std::size_t i = 0; i < 16; i += 5)
    EXPECT_EQ(generate(kMini, plain(GetParam()), i, 1).at(0), expected().at(i)) << "request " << i;
}

TEST_P(EqualBits, AtEveryLevelOfThisMachine) {
  for (const auto* table : kernels::available_levels()) {
    auto settings = plain(GetParam());
    settings.table = table;
    // Four requests: the reference is slow.
    const std::vector<Bits> first(expected().begin() + 1, expected().begin() + 5);
    EXPECT_EQ(generate(kMini, settings, 1, 4), first) << table->name;
  }
}

INSTANTIATE_TEST_SUITE_P(Modes, EqualBits,
                         ::testing::Values(Numerics{ActivationMode::f32},
                                           Numerics{ActivationMode::bf16},
                                           Numerics{ActivationMode::fp8_act},
                                           Numerics{ActivationMode::bf16, KvCache::fp8}),
                         [](const auto& info) {
                           std::string name(model::to_string(info.param.mode));
                           std::erase(name, '-');
                           return name + (info.param.kv_cache == KvCache::fp8 ? "_fp8cache" : "");
                         });

TEST(EqualBitsOf, TheBundledModelHoweverItIsLaidOut) {
  const std::string tiny = "examples/troupe-tiny";
  const auto one = generate(tiny, plain({ActivationMode::bf16}), 0, 4);
  auto settings = plain({ActivationMode::bf16});
  settings.experts = 3;
  settings.attention = 2;
  settings.routers = 2;
  settings.chunk = 7;
  EXPECT_EQ(generate(tiny, settings, 0, 4), one);
}

}  // namespace
}  // namespace troupe::actors
