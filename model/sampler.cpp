// The sampler: vLLM's order of operations (specification 8.2) over a counter-based race.
#include "model/sampler.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <string>

#include "core/mix64.hpp"
#include "kernels/math.hpp"

namespace troupe::model {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();
constexpr float kGreedyBelow = 1e-5f;  // temperature

struct Candidate {
  float logit;
  std::int32_t token;
};

bool better(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

/// Null for an id that the vocabulary does not have.
float* logit_of(std::vector<float>& logits, std::int32_t token) {
  const auto i = static_cast<std::size_t>(token);
  return token >= 0 && i < logits.size() ? &logits[i] : nullptr;
}

void forbid(std::vector<float>& logits, std::int32_t token) {
  if (float* logit = logit_of(logits, token)) *logit = kMinusInfinity;
}

void apply_penalties(std::vector<float>& logits, const SamplingParams& params,
                     const SampleContext& context) {
  std::map<std::int32_t, std::int32_t> generated;  // token -> count
  for (const auto token : context.generated) ++generated[token];
  if (params.repetition_penalty != 1.0f) {
    std::map<std::int32_t, std::int32_t> seen = generated;
    for (const auto token : context.prompt) ++seen[token];
    for (const auto& [token, count] : seen) {
      if (float* const l = logit_of(logits, token))
        *l = *l > 0 ? *l / params.repetition_penalty : *l * params.repetition_penalty;
    }
  }
  for (const auto& [token, count] : generated) {
    float* const l = logit_of(logits, token);
    if (l == nullptr) continue;
    *l -= params.frequency_penalty * static_cast<float>(count);
    *l -= params.presence_penalty;
  }
}

/// Specification 8.2 step 3.
void apply_masks(std::vector<float>& logits, const SamplingParams& params,
                 std::span<const std::uint64_t> allowed) {
  for (std::size_t i = 0; i < logits.size() && !allowed.empty(); ++i)
    if ((allowed[i / 64] >> (i % 64) & 1) == 0) logits[i] = kMinusInfinity;
  if (params.allowed_token_ids.empty()) return;
  std::vector<float> kept(logits.size(), kMinusInfinity);
  const auto keep = [&](std::int32_t token) {
    if (const float* logit = logit_of(logits, token)) *logit_of(kept, token) = *logit;
  };
  for (const auto token : params.allowed_token_ids) keep(token);
  if (!allowed.empty())  // where a grammar lets the answer end, it may
    for (const auto token : params.stop_token_ids) keep(token);
  logits = std::move(kept);
}

/// Step 4: the last id of a word whose others the answer ends with.
void forbid_bad_words(std::vector<float>& logits, const SamplingParams& params,
                      const SampleContext& context) {
  for (const std::span<const std::int32_t> word : params.bad_words) {
    if (word.empty() || context.generated.size() + 1 < word.size()) continue;
    const auto begin = word.first(word.size() - 1);
    if (!std::ranges::equal(context.generated.last(begin.size()), begin)) continue;
    forbid(logits, word.back());
  }
}

/// Unless a grammar leaves nothing else: then the answer is over, whatever min_tokens says.
void forbid_stop_ids(std::vector<float>& logits, const SamplingParams& params,
                     const SampleContext& context) {
  std::vector<float> kept;
  if (!context.allowed.empty()) kept = logits;
  for (const auto token : params.stop_token_ids) forbid(logits, token);
  if (!kept.empty() && std::ranges::max(logits) == kMinusInfinity) logits = std::move(kept);
}

void apply_bias(std::vector<float>& logits, const SamplingParams& params,
                const SampleContext& context) {
  if (static_cast<std::int64_t>(context.generated.size()) < params.min_tokens)
    forbid_stop_ids(logits, params, context);
  for (const auto& [token, bias] : params.logit_bias)
    if (float* logit = logit_of(logits, token)) *logit += bias;
}

std::int32_t argmax(const std::vector<float>& logits) {
  std::size_t best = 0;
  for (std::size_t i = 1; i < logits.size(); ++i)
    if (logits[i] > logits[best]) best = i;
  return static_cast<std::int32_t>(best);
}

// Keeps the k largest logits and those equal to the least of them, in ascending id.
void keep_top_k(std::vector<Candidate>& candidates, std::int32_t k) {
  if (k <= 0 || static_cast<std::size_t>(k) >= candidates.size()) return;
  std::vector<float> logits;
  logits.reserve(candidates.size());
  for (const auto& c : candidates) logits.push_back(c.logit);
  const auto kth = logits.begin() + (k - 1);
  std::nth_element(logits.begin(), kth, logits.end(), std::greater<>());
  std::erase_if(candidates, [least = *kth](const Candidate& c) { return c.logit < least; });
}

// Keeps the smallest prefix of (logit descending, id ascending) with mass >= top_p. `mass` is of
// all candidates, summed in ascending id.
void keep_top_p(std::vector<Candidate>& candidates, float max, float top_p) {
  double mass = 0;
  for (const auto& c : candidates) mass += kernels::exp_f32(c.logit - max);
  const double wanted = static_cast<double>(top_p) * mass;
  // Sorting a growing head is cheaper than sorting a vocabulary; the order is the same.
  std::size_t head = std::min<std::size_t>(256, candidates.size());
  for (;;) {
    const auto middle = candidates.begin() + static_cast<std::ptrdiff_t>(head);
    std::partial_sort(candidates.begin(), middle, candidates.end(), better);
    double sum = 0;
    for (std::size_t i = 0; i < head; ++i) {
      sum += kernels::exp_f32(candidates[i].logit - max);
      if (sum >= wanted) {
        candidates.resize(i + 1);
        return;
      }
    }
    if (head == candidates.size()) return;
    head = std::min(candidates.size(), head * 8);
  }
}

std::vector<Candidate> truncate(const std::vector<float>& logits, const SamplingParams& params) {
  const float max = *std::max_element(logits.begin(), logits.end());
  std::vector<Candidate> candidates;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] == kMinusInfinity) continue;
    if (params.min_p > 0 && kernels::exp_f32(logits[i] - max) < params.min_p) continue;
    candidates.push_back({logits[i], static_cast<std::int32_t>(i)});
  }
  keep_top_k(candidates, params.top_k);
  if (params.top_p < 1.0f) keep_top_p(candidates, max, params.top_p);
  return candidates;
}

// argmax over candidates of p / -log u: an exponential race, equal to drawing from p.
std::int32_t race(const std::vector<Candidate>& candidates, float max, const SamplingParams& params,
                  std::int64_t position) {
  const std::uint64_t seed = seed_of_choice(params.seed, params.choice);
  double best = -1;
  std::int32_t winner = 0;
  for (const auto& c : candidates) {
    const double u = uniform_noise(seed, position, c.token);
    const double speed = kernels::exp_f32(c.logit - max) / -kernels::log_f64(u);
    if (speed > best || (speed == best && c.token < winner)) {
      best = speed;
      winner = c.token;
    }
  }
  return winner;
}

/// Damaged weights, or activations past the largest F32: no token can be drawn from that.
std::optional<Error> find_fault(std::span<const float> logits, std::int64_t position) {
  const auto bad = std::ranges::count_if(logits, [](float l) { return !std::isfinite(l); });
  if (bad == 0) return std::nullopt;
  return Error{Errc::malformed, "no token can be drawn for position " + std::to_string(position) +
                                    ": " + std::to_string(bad) + " of " +
                                    std::to_string(logits.size()) +
                                    " logits are NaN or infinite. The weights are damaged or "
                                    "overflow in this mode; compare the files' checksums"};
}

/// The `count` likeliest of the logits, larger first, then lower id.
std::vector<Candidate> best_of(std::span<const float> logits, std::int32_t count) {
  const auto kept = std::min(static_cast<std::size_t>(count), logits.size());
  std::vector<Candidate> best;  // a heap whose front is the least of them
  best.reserve(kept + 1);
  for (std::size_t i = 0; kept > 0 && i < logits.size(); ++i) {
    const Candidate one{logits[i], static_cast<std::int32_t>(i)};
    if (best.size() == kept && !better(one, best.front())) continue;
    best.push_back(one);
    std::push_heap(best.begin(), best.end(), better);
    if (best.size() <= kept) continue;
    std::pop_heap(best.begin(), best.end(), better);
    best.pop_back();
  }
  std::sort_heap(best.begin(), best.end(), better);
  return best;
}

/// 1 and how many ids come before `token`: larger first, then lower id.
std::int32_t rank_of(std::span<const float> valid, std::int32_t token) {
  const auto own = static_cast<std::size_t>(token);
  const float logit = valid[own];
  const auto lower_ids = valid.first(own), higher_ids = valid.subspan(own);
  const auto before = std::ranges::count_if(lower_ids, [=](float l) { return l >= logit; }) +
                      std::ranges::count_if(higher_ids, [=](float l) { return l > logit; });
  return static_cast<std::int32_t>(before) + 1;
}

/// From one pass over the row: its maximum and sum serve the token and its rivals alike.
void fill_logprobs(const kernels::KernelTable& table, std::span<const float> valid,
                   std::int32_t top, Sample& sample) {
  const auto stats = table.softmax_stats(valid.data(), static_cast<std::int64_t>(valid.size()));
  const float log_sum = kernels::log_f32(stats.sum);
  const auto logprob = [&](float logit) { return (logit - stats.max) - log_sum; };
  sample.logprob = logprob(valid[static_cast<std::size_t>(sample.token)]);
  for (const auto& [logit, token] : best_of(valid, top))
    sample.top.push_back({token, logprob(logit)});
}

Error nothing_allowed(const SamplingParams& params, const SampleContext& context) {
  const std::string where = " at position " + std::to_string(context.position);
  std::string who;
  const auto add = [&](bool in_force, const char* name) {
    if (in_force) who += (who.empty() ? "" : ", ") + std::string(name);
  };
  add(!context.allowed.empty(), "the grammar");
  add(!params.allowed_token_ids.empty(), "allowed_token_ids");
  add(!params.bad_words.empty(), "bad_words");
  if (!who.empty())
    return {Errc::invalid_argument,
            "no id of the vocabulary is left" + where + " by " + who + "; loosen them"};
  return {Errc::invalid_argument,
          "min_tokens forbids every id of the vocabulary" + where + "; lower it or the stop ids"};
}

Error out_of_range(const char* name, double value, const char* range) {
  return {Errc::invalid_argument,
          std::string(name) + " is " + std::to_string(value) + "; it must be " + range};
}

}  // namespace

std::uint64_t seed_of_choice(std::uint64_t seed, std::uint32_t choice) {
  return choice == 0 ? seed : mix64(mix64(seed) ^ choice);
}

double uniform_noise(std::uint64_t seed, std::int64_t position, std::int32_t token) {
  std::uint64_t h = mix64(seed);
  h = mix64(h ^ static_cast<std::uint64_t>(position));
  h = mix64(h ^ static_cast<std::uint64_t>(token));
  return (static_cast<double>(h >> 11) + 0.5) * 0x1p-53;  // 53 bits, never 0 or 1
}

float logprob_of(const kernels::KernelTable& table, std::span<const float> logits,
                 std::int64_t valid_vocab, std::int32_t token) {
  const auto stats = table.softmax_stats(logits.data(), valid_vocab);
  return (logits[static_cast<std::size_t>(token)] - stats.max) - kernels::log_f32(stats.sum);
}

Expected<Sample> sample(const kernels::KernelTable& table, std::span<const float> logits,
                        const SamplingParams& params, const SampleContext& context) {
  const auto valid = logits.first(static_cast<std::size_t>(context.valid_vocab));
  if (auto fault = find_fault(valid, context.position)) return unexpected(*std::move(fault));
  std::vector<float> work(valid.begin(), valid.end());
  apply_masks(work, params, context.allowed);
  forbid_bad_words(work, params, context);
  apply_bias(work, params, context);
  apply_penalties(work, params, context);
  if (std::ranges::max(work) == kMinusInfinity) return unexpected(nothing_allowed(params, context));
  Sample drawn;
  if (params.temperature < kGreedyBelow) {
    drawn.token = argmax(work);
  } else {
    for (float& l : work) l /= params.temperature;
    const float max = *std::max_element(work.begin(), work.end());
    drawn.token = race(truncate(work, params), max, params, context.position);
  }
  fill_logprobs(table, valid, params.top_logprobs, drawn);
  return drawn;
}

Expected<Sample> score(const kernels::KernelTable& table, std::span<const float> logits,
                       const TokenQuestion& question) {
  const auto valid = logits.first(static_cast<std::size_t>(question.valid_vocab));
  if (auto fault = find_fault(valid, question.position)) return unexpected(*std::move(fault));
  Sample given;
  given.token = question.token;
  fill_logprobs(table, valid, question.top, given);
  given.rank = rank_of(valid, question.token);
  return given;
}

Expected<void> validate(const SamplingParams& p) {
  const auto within = [](float x, float low, float high) { return x >= low && x <= high; };
  if (!within(p.temperature, 0, 2))
    return unexpected(out_of_range("temperature", p.temperature, "in [0, 2]"));
  if (!(p.top_p > 0 && p.top_p <= 1))
    return unexpected(out_of_range("top_p", p.top_p, "in (0, 1]"));
  if (p.top_k < -1) return unexpected(out_of_range("top_k", p.top_k, "-1, 0 (off) or positive"));
  if (!within(p.min_p, 0, 1)) return unexpected(out_of_range("min_p", p.min_p, "in [0, 1]"));
  if (!within(p.presence_penalty, -2, 2))
    return unexpected(out_of_range("presence_penalty", p.presence_penalty, "in [-2, 2]"));
  if (!within(p.frequency_penalty, -2, 2))
    return unexpected(out_of_range("frequency_penalty", p.frequency_penalty, "in [-2, 2]"));
  if (!(p.repetition_penalty > 0 && std::isfinite(p.repetition_penalty)))
    return unexpected(out_of_range("repetition_penalty", p.repetition_penalty, "positive"));
  for (const auto& [token, bias] : p.logit_bias)
    if (!within(bias, -100, 100))
      return unexpected(out_of_range("logit_bias", bias, "in [-100, 100]"));
  if (p.top_logprobs < 0 || p.top_logprobs > kTopLogprobsMax)
    return unexpected(out_of_range("top_logprobs", p.top_logprobs, "between 0 and 20"));
  // 0 asks for nothing but the prompt to be computed (eval logits).
  if (p.max_tokens < 0) return unexpected(out_of_range("max_tokens", p.max_tokens, "at least 0"));
  if (p.min_tokens < 0 || p.min_tokens > p.max_tokens)
    return unexpected(out_of_range("min_tokens", p.min_tokens, "between 0 and max_tokens"));
  return {};
}

}  // namespace troupe::model
