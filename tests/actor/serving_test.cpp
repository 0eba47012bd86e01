// Many requests at once: the bits of each are those of the same request alone.
#include <gtest/gtest.h>

#include <map>
#include <span>
#include <string>

#include "actors/local_cluster.hpp"
#include "core/hexadecimal.hpp"
#include "core/sha256.hpp"
#include "model/grammar/grammar.hpp"
#include "model/tokenizer/tokenizer.hpp"
#include "tests/support/actor_listener.hpp"
#include "tests/support/source_dir.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/unit/model/tokenizer/small_tokenizer.hpp"

namespace troupe::actors {
namespace {

using testing::greedy;
using testing::Recorder;

/// v3-mini with a tokenizer, which grammars need.
const model::Checkpoint& mini() {
  namespace fs = std::filesystem;
  static const troupe::testing::TempDir dir;
  static const auto opened = [] {
    const auto model = fs::path(kSourceDir) / "tests/goldens/v3-mini/model";
    for (const auto& file : fs::directory_iterator(model))
      fs::create_symlink(file.path(), dir / file.path().filename().string());
    troupe::testing::write_bytes(dir / "tokenizer.json", model::small_tokenizer().dump());
    return model::Checkpoint::open(dir.path());
  }();
  EXPECT_TRUE(opened) << (opened ? "" : opened.error().detail);
  return *opened;
}

std::unique_ptr<LocalCluster> start(ClusterSettings settings) {
  settings.threads = 2;
  settings.experts = 2;
  auto cluster = LocalCluster::start(mini(), settings);
  EXPECT_TRUE(cluster) << (cluster ? "" : cluster.error().detail);
  return std::move(*cluster);
}

std::shared_ptr<Recorder> submit(LocalCluster& cluster, GenerateRequest request) {
  auto heard = std::make_shared<Recorder>();
  const auto id = cluster.submit(std::move(request), heard);
  EXPECT_TRUE(id) << (id ? "" : id.error().detail);
  return heard;
}

/// SHA-256 over the ids and the logprob bits, alternatives and prompt logprobs included, and why it
/// ended.
std::string digest(const Recorder& heard) {
  std::vector<std::uint32_t> words{static_cast<std::uint32_t>(heard.reason)};
  const auto add = [&](std::int32_t token, float logprob) {
    words.push_back(static_cast<std::uint32_t>(token));
    words.push_back(std::bit_cast<std::uint32_t>(logprob));
  };
  for (std::size_t i = 0; i < heard.tokens.size(); ++i) {
    words.push_back(static_cast<std::uint32_t>(heard.tokens[i]));
    words.push_back(heard.logprob_bits[i]);
    for (const auto& one : heard.top[i]) add(one.token, one.logprob);
  }
  for (const auto& one : heard.prompt_logprobs) {
    add(one.token, one.logprob);
    for (const auto& other : one.top) add(other.token, other.logprob);
  }
  return to_hex(Sha256().add(std::as_bytes(std::span(words))).digest());
}

#ifdef __SANITIZE_THREAD__
constexpr std::uint32_t kRequests = 24;  // fifteen times slower
#else
constexpr std::uint32_t kRequests = 64;
#endif

/// Long answers that never end by themselves, and short ones that may.
model::GrammarSpec grammar_of(std::uint32_t i) {
  using Kind = model::GrammarSpec::Kind;
  if (i % 16 == 5) return {Kind::regex, "[a-z]+( [a-z]+)*"};
  if (i % 16 == 13) return {Kind::json_schema, R"({"type": "array", "minItems": 100})"};
  if (i % 8 == 2) return {Kind::json_schema, R"({"type": "integer"})"};
  return {};
}

constexpr std::uint64_t kFirstSeed = 1000;

/// What a client may send, kRequests times: short and long prompts, some of which begin alike, all
/// kinds of sampling, choices, priorities, tenants, logprobs, forms of the answer.
std::vector<GenerateRequest> mixed_requests() {
  std::vector<GenerateRequest> all;
  std::uint32_t state = 4711;
  const auto draw = [&](std::uint32_t count) {
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % count;
  };
  const auto vocab = static_cast<std::uint32_t>(mini().config().vocab_size);
  std::vector<std::int32_t> common;
  for (int i = 0; i < 160; ++i) common.push_back(static_cast<std::int32_t>(draw(vocab)));
  for (std::uint32_t i = 0; i < kRequests; ++i) {
    GenerateRequest request;
    if (i % 3 == 0) request.prompt = common;
    const auto more = 1 + draw(i % 8 == 0 ? 300 : 60);
    for (std::uint32_t t = 0; t < more; ++t)
      request.prompt.push_back(static_cast<std::int32_t>(draw(vocab)));
    auto& sampling = request.sampling;
    sampling.temperature = i % 4 == 0 ? 0.0f : 0.5f + 0.1f * static_cast<float>(i % 7);
    sampling.top_p = i % 2 == 0 ? 1.0f : 0.9f;
    sampling.top_k = i % 5 == 0 ? 40 : 0;
    sampling.min_p = i % 6 == 0 ? 0.02f : 0.0f;
    sampling.repetition_penalty = i % 5 == 4 ? 1.2f : 1.0f;
    sampling.presence_penalty = i % 7 == 3 ? 0.5f : 0.0f;
    sampling.seed = kFirstSeed + i;
    // A fourth of them grow by more than a page, so that a small cache overflows while they run.
    sampling.max_tokens = static_cast<std::int32_t>((i % 4 == 1 ? 130 : 8) + draw(50));
    sampling.ignore_eos = true;
    sampling.top_logprobs = static_cast<std::int32_t>(i % 4);
    request.priority = static_cast<std::int32_t>(i % 3) - 1;
    request.tenant = i % 5;
    request.grammar = grammar_of(i);
    if (i % 9 == 0) request.prompt_logprobs = 2;
    if (i % 16 == 5) {
      request.choices = 4;
      sampling.choice = i / 16;
    }
    all.push_back(std::move(request));
  }
  return all;
}

bool has_grammar(const GenerateRequest& request) {
  return request.grammar.kind != model::GrammarSpec::Kind::none;
}

void expect_good_end(const Recorder& heard, const GenerateRequest& request) {
  const bool may_stop = has_grammar(request) && heard.reason == FinishReason::stop;
  EXPECT_TRUE(may_stop || heard.reason == FinishReason::length)
      << to_string(heard.reason) << ": " << heard.error.detail;
}

void expect_grammar_kept(const Recorder& heard, const GenerateRequest& request) {
  static const auto table =
      std::make_shared<const model::TokenTable>(model::Tokenizer::load(mini().directory()).value());
  const auto grammar = model::Grammar::compile(request.grammar, table);
  ASSERT_TRUE(grammar) << grammar.error().detail;
  model::GrammarState state(*grammar);
  for (const auto token : heard.tokens) ASSERT_TRUE(state.advance(token)) << token;
}

/// Each request with nothing else on the cluster, every position computed. By its seed.
const std::map<std::uint64_t, std::string>& solo(model::KvCache kv_cache) {
  static std::map<model::KvCache, std::map<std::uint64_t, std::string>> once;
  auto& all = once[kv_cache];
  if (!all.empty()) return all;
  ClusterSettings settings;
  settings.kv_cache = kv_cache;
  settings.prefix_cache = false;
  auto cluster = start(settings);
  for (auto& request : mixed_requests()) {
    auto heard = submit(*cluster, request);
    EXPECT_TRUE(heard->wait());
    expect_good_end(*heard, request);
    if (has_grammar(request)) expect_grammar_kept(*heard, request);
    all[request.sampling.seed] = digest(*heard);
  }
  return all;
}

/// What was seen of a cluster that served many requests.
struct Served {
  ClusterStatus end;
  std::int64_t kv_pages_used_most = 0;  // by sequences, at any of many looks
  std::vector<std::int64_t> rows;       // computed by each attention shard
};

Served expect_solo_bits_at_once(const ClusterSettings& settings,
                                const std::vector<GenerateRequest>& requests = mixed_requests()) {
  const auto& alone = solo(settings.kv_cache);
  auto cluster = start(settings);
  Served served;
  std::vector<std::shared_ptr<Recorder>> heard;
  for (const auto& request : requests) heard.push_back(submit(*cluster, request));
  const auto deadline = Clock::now() + std::chrono::minutes(4);
  for (std::size_t i = 0; i < heard.size(); ++i) {
    while (!heard[i]->finished() && Clock::now() < deadline)
      served.kv_pages_used_most =
          std::max(served.kv_pages_used_most, cluster->status().kv_pages_used);
    EXPECT_TRUE(heard[i]->wait());
    expect_good_end(*heard[i], requests[i]);
    EXPECT_EQ(digest(*heard[i]), alone.at(requests[i].sampling.seed)) << "request " << i;
    EXPECT_EQ(heard[i]->usage.replay_mismatches, 0);
  }
  served.end = cluster->status();
  EXPECT_EQ(served.end.running + served.end.waiting, 0);
  EXPECT_EQ(served.end.kv_pages_used, 0);
  EXPECT_EQ(served.end.stale_frames_total, 0);
  for (const auto& [index, shard] : cluster->roles().attention)
    served.rows.push_back(shard.rows_total);
  return served;
}

/// With each format of the latent cache.
class Serving : public ::testing::TestWithParam<model::KvCache> {
 protected:
  static ClusterSettings plain() {
    ClusterSettings settings;
    settings.kv_cache = GetParam();
    return settings;
  }
};

TEST_P(Serving, ManyMixedRequestsHaveTheBitsOfEachAlone) {
  const auto served = expect_solo_bits_at_once(plain());
  EXPECT_GT(served.end.cached_tokens_total, 0) << "some prompts begin alike";
}

TEST_P(Serving, AlsoWhenTheCacheIsTooSmallAndSequencesArePreempted) {
  ClusterSettings settings = plain();
  settings.kv_tokens_max = 12 * 64;  // the longest alone needs 10 pages
  const auto served = expect_solo_bits_at_once(settings);
  EXPECT_GT(served.end.preemptions_total, 0) << "for pages or by priority";
}

/// Nobody is preempted by priority where all are equal: only for a page when none is free.
std::vector<GenerateRequest> with_equal_priorities(std::vector<GenerateRequest> requests) {
  for (auto& request : requests) request.priority = 0;
  return requests;
}

void expect_full(const Served& served) {
  EXPECT_GT(served.end.preemptions_total, 0);
  EXPECT_GE(served.kv_pages_used_most * 100, served.end.kv_pages_max * 95)
      << served.kv_pages_used_most << " of " << served.end.kv_pages_max << " pages";
}

TEST_P(Serving, AlsoWhenEveryPageIsInUse) {
  ClusterSettings settings = plain();
  settings.kv_tokens_max = 12 * 64;
  expect_full(expect_solo_bits_at_once(settings, with_equal_priorities(mixed_requests())));
}

TEST_P(Serving, AlsoWhenAnswersWithGrammarsArePreempted) {
  ClusterSettings settings = plain();
  settings.kv_tokens_max = 8 * 64;  // the longest of them alone needs 7 pages
  auto requests = with_equal_priorities(mixed_requests());
  std::erase_if(requests, [](const auto& request) { return !has_grammar(request); });
  EXPECT_GE(requests.size(), kRequests / 4);
  const auto once = requests;  // twice: more than the pages hold, whoever is done first
  requests.insert(requests.end(), once.begin(), once.end());
  expect_full(expect_solo_bits_at_once(settings, requests));
}

TEST_P(Serving, AlsoWithoutAPrefixCacheAndWithSmallSteps) {
  ClusterSettings settings = plain();
  settings.prefix_cache = false;
  settings.kv_tokens_max = 24 * 64;
  settings.chunk = 17;
  settings.step_rows_max = 40;
  const auto served = expect_solo_bits_at_once(settings);
  EXPECT_EQ(served.end.cached_tokens_total, 0);
}

TEST_P(Serving, AlsoWhenPromptsHaveLittleOfEachStep) {
  ClusterSettings settings = plain();
  settings.prompt_budget = std::chrono::milliseconds(1);
  expect_solo_bits_at_once(settings);
}

TEST_P(Serving, AlsoThroughTwoAttentionShards) {
  ClusterSettings settings = plain();
  settings.attention = 2;
  settings.routers = 2;
  settings.kv_tokens_max = 16 * 64;
  const auto served = expect_solo_bits_at_once(settings);
  ASSERT_EQ(served.rows.size(), 2u);
  for (const auto rows : served.rows) EXPECT_GT(rows, 0) << "a shard had nothing to do";
}

TEST_P(Serving, AlsoInMicroBatchesThatTakeTurns) {
  ClusterSettings settings = plain();
  settings.attention = 2;
  settings.routers = 2;
  settings.kv_tokens_max = 16 * 64;
  settings.micro_batches = MicroBatching::always;
  const auto served = expect_solo_bits_at_once(settings);
  EXPECT_GT(served.end.cut_steps_total, served.end.steps_total / 4);
}

/// The answers to both turns of a chat, and what of the second prompt was cached.
struct TwoTurns {
  std::string first, second;
  std::int64_t cached = 0;
};

TwoTurns chat(ClusterSettings settings, bool prefix_cache) {
  settings.prefix_cache = prefix_cache;
  auto cluster = start(settings);
  auto asked = mixed_requests().front();
  asked.sampling.max_tokens = 40;
  auto first = submit(*cluster, asked);
  EXPECT_TRUE(first->wait());
  EXPECT_EQ(first->usage.cached_tokens, 0);
  asked.prompt.insert(asked.prompt.end(), first->tokens.begin(), first->tokens.end());
  asked.prompt.insert(asked.prompt.end(), {5, 6, 7, 8});
  asked.prompt_logprobs.reset();
  auto second = submit(*cluster, asked);
  EXPECT_TRUE(second->wait());
  return {digest(*first), digest(*second), second->usage.cached_tokens};
}

TEST_P(Serving, TheSecondTurnOfAChatIsCachedAndHasTheSameBits) {
  const auto on = chat(plain(), true);
  const auto off = chat(plain(), false);
  EXPECT_EQ(on.first, off.first);
  EXPECT_EQ(on.second, off.second);
  EXPECT_EQ(off.cached, 0);
  EXPECT_GT(on.cached, 0);
  EXPECT_EQ(on.cached % 64, 0) << "whole pages";
}

TEST_P(Serving, FourChoicesComputeTheirPromptOnceAndComeOutTheSameAnyDay) {
  const auto draw = [] {
    auto cluster = start(plain());
    std::vector<std::shared_ptr<Recorder>> heard;
    for (std::uint32_t choice = 0; choice < 4; ++choice) {
      auto request = greedy(mixed_requests()[8].prompt, 30);
      request.sampling.temperature = 1;
      request.sampling.seed = 77;
      request.sampling.choice = choice;
      request.choices = 4;
      heard.push_back(submit(*cluster, std::move(request)));
    }
    std::vector<std::string> texts;
    for (auto& one : heard) {
      EXPECT_TRUE(one->wait());
      texts.push_back(digest(*one));
    }
    const auto pages = static_cast<std::int64_t>((mixed_requests()[8].prompt.size() - 1) / 64);
    EXPECT_GT(pages, 0);
    EXPECT_EQ(cluster->status().cached_tokens_total, 3 * pages * 64);
    return texts;
  };
  const auto first = draw();
  EXPECT_EQ(draw(), first);
  EXPECT_NE(first[0], first[1]);
  EXPECT_NE(first[1], first[2]);
}

TEST(ServingNumbers, TheFormatOfTheCacheIsPartOfThem) {
  ClusterSettings settings;
  const auto plain = start(settings)->numerics_id();
  settings.kv_cache = model::KvCache::fp8;
  EXPECT_NE(start(settings)->numerics_id(), plain);
}

INSTANTIATE_TEST_SUITE_P(Caches, Serving,
                         ::testing::Values(model::KvCache::automatic, model::KvCache::fp8),
                         [](const auto& info) {
                           return std::string(model::to_string(info.param));
                         });

}  // namespace
}  // namespace troupe::actors
