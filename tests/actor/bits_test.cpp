// The promise of equal bits (design I1): however a cluster is laid out and a request is batched.
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <tuple>

#include "actors/local_cluster.hpp"
#include "model/checkpoint/cast.hpp"
#include "tests/support/actor_listener.hpp"
#include "tests/support/source_dir.hpp"
#include "tests/support/temp_dir.hpp"

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
    auto fresh = model::Checkpoint::open(path);
    EXPECT_TRUE(fresh) << (fresh ? "" : fresh.error().detail);
    found = open.emplace(path, std::move(*fresh)).first;
  }
  return found->second;
}

const std::string kMini = std::string(troupe::kSourceDir) + "/tests/goldens/v3-mini/model";

/// kMini as `troupe model quantize` writes it.
std::string quantised_mini(model::WeightFormat format) {
  static const troupe::testing::TempDir dir;
  const auto path = dir / std::string(to_string(format));
  const auto report = model::cast_checkpoint(kMini, path, {.to = format});
  EXPECT_TRUE(report) << (report ? "" : report.error().detail);
  return path;
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

/// Numbers that differ: a mode and a cache, and weights as they are or in a format.
struct Numbers {
  Numerics numerics;
  model::WeightFormat format = model::WeightFormat::fp8_blocks;
};

std::string name_of(const Numbers& numbers) {
  std::string name(to_string(numbers.numerics.mode));
  if (numbers.numerics.kv_cache == KvCache::fp8) name += "_fp8cache";
  if (numbers.format != model::WeightFormat::fp8_blocks)
    name += "_" + std::string(to_string(numbers.format));
  std::erase(name, '-');
  return name;
}

class EqualBits : public ::testing::TestWithParam<Numbers> {
 protected:
  static const std::string& weights() {
    static std::map<model::WeightFormat, std::string> once{
        {model::WeightFormat::fp8_blocks, kMini}};
    auto& path = once[GetParam().format];
    if (path.empty()) path = quantised_mini(GetParam().format);
    return path;
  }
  static const std::vector<Bits>& expected() {
    static std::map<std::string, std::vector<Bits>> once;
    auto& bits = once[name_of(GetParam())];
    if (bits.empty()) bits = generate(weights(), plain(GetParam().numerics));
    return bits;
  }
};

TEST_P(EqualBits, WhateverTheNumberOfExpertShards) {
  for (const int experts : {2, 3, 8}) {
    auto settings = plain(GetParam().numerics);
    settings.experts = experts;
    EXPECT_EQ(generate(weights(), settings), expected()) << experts << " expert shards";
  }
}

TEST_P(EqualBits, WithTwoAttentionShardsAndTwoRouters) {
  auto settings = plain(GetParam().numerics);
  settings.experts = 3;
  settings.attention = 2;
  settings.routers = 2;
  settings.frame_rows_max = 5;  // many work items, over both routers
  EXPECT_EQ(generate(weights(), settings), expected());
}

TEST_P(EqualBits, WhateverTheNumberOfThreads) {
  for (const int threads : {1, 3}) {
    auto settings = plain(GetParam().numerics);
    settings.threads = threads;
    EXPECT_EQ(generate(weights(), settings), expected()) << threads << " threads";
  }
}

TEST_P(EqualBits, WhateverTheChunk) {
  for (const std::int64_t chunk : {1, 7, 64, 100000}) {
    auto settings = plain(GetParam().numerics);
    settings.chunk = chunk;
    settings.step_rows_max = chunk == 100000 ? 100000 : 256;
    EXPECT_EQ(generate(weights(), settings), expected()) << "chunk " << chunk;
  }
}

TEST_P(EqualBits, AloneAndInABatchOfSixteen) {
  for (std::size_t i = 0; i < 16; i += 5)
    EXPECT_EQ(generate(weights(), plain(GetParam().numerics), i, 1).at(0), expected().at(i))
        << "request " << i;
}

TEST_P(EqualBits, AtEveryLevelOfThisMachine) {
  for (const auto* table : kernels::available_levels()) {
    auto settings = plain(GetParam().numerics);
    settings.table = table;
    // Four requests: the reference is slow.
    const std::vector<Bits> first(expected().begin() + 1, expected().begin() + 5);
    EXPECT_EQ(generate(weights(), settings, 1, 4), first) << table->name;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Modes, EqualBits,
    ::testing::Values(Numbers{{ActivationMode::f32}}, Numbers{{ActivationMode::bf16}},
                      Numbers{{ActivationMode::fp8_act}},
                      Numbers{{ActivationMode::bf16, KvCache::fp8}},
                      Numbers{{ActivationMode::int8_act}, model::WeightFormat::int8_blocks},
                      Numbers{{ActivationMode::int8_act}, model::WeightFormat::int8_channel},
                      Numbers{{ActivationMode::int8_act}, model::WeightFormat::int4_groups}),
    [](const auto& info) { return name_of(info.param); });

TEST(EqualBitsOf, TheBundledModelHoweverItIsLaidOut) {
  const std::string tiny = std::string(troupe::kSourceDir) + "/examples/troupe-tiny";
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
