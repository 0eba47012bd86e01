// From a row of logits to the next token: penalties, truncation and a counter-based draw.
#pragma once
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "core/expected.hpp"
#include "kernels/registry.hpp"

namespace troupe::model {

/// Sampling parameters of one request. Source: specification 8.1; defaults are OpenAI's.
struct SamplingParams {
  float temperature = 1.0f;         // below 1e-5: greedy
  float top_p = 1.0f;               // (0, 1]
  std::int32_t top_k = 0;           // 0 or -1: off; ties with the k-th are kept
  float min_p = 0.0f;               // [0, 1]
  float presence_penalty = 0.0f;    // [-2, 2], generated tokens
  float frequency_penalty = 0.0f;   // [-2, 2], generated tokens
  float repetition_penalty = 1.0f;  // > 0, prompt and generated tokens
  std::vector<std::pair<std::int32_t, float>> logit_bias{};
  std::vector<std::int32_t> allowed_token_ids{};        // no others are drawn; empty: all may be
  std::vector<std::vector<std::int32_t>> bad_words{};  // ids that are never generated in a row
  std::uint64_t seed = 0;
  std::int32_t max_tokens = 0;
  std::int32_t min_tokens = 0;  // stop ids cannot be drawn before
  bool ignore_eos = false;
  std::vector<std::int32_t> stop_token_ids{};  // EOS ids included unless ignore_eos
  std::int32_t top_logprobs = 0;               // alternatives wanted with each token, 0 to 20
  std::uint32_t choice = 0;                    // which of the request's n choices: noise of its own
};

/// Alternatives of one token at most, as in OpenAI's API.
inline constexpr std::int32_t kTopLogprobsMax = 20;

/// *Errors*: `invalid_argument` naming the parameter, its value and its range.
Expected<void> validate(const SamplingParams& params);

struct TokenLogprob {
  std::int32_t token = 0;
  float logprob = 0;  // log-softmax of the raw logits over ids below valid_vocab
  friend bool operator==(const TokenLogprob&, const TokenLogprob&) = default;
};

struct Sample {
  std::int32_t token = 0;
  float logprob = 0;                // as in TokenLogprob
  std::vector<TokenLogprob> top{};  // the top_logprobs likeliest ids: larger first, then lower id
  std::int32_t rank = 0;            // the token's place in that order, from 1; `score` tells it
};

/// The tokens a draw depends on: a function of the list, never of history.
struct SampleContext {
  std::span<const std::int32_t> prompt;
  std::span<const std::int32_t> generated;
  std::int64_t position = 0;                 // absolute position of the token to be drawn
  std::int64_t valid_vocab = 0;              // ids at or above are padding rows
  std::span<const std::uint64_t> allowed{};  // a bit for each id, [ceil(vocab / 64)]; empty: all
};

/// Which token of which position `score` is about.
struct TokenQuestion {
  std::int32_t token = 0;        // below valid_vocab
  std::int64_t position = 0;     // for people
  std::int64_t valid_vocab = 0;  // as in SampleContext
  std::int32_t top = 0;          // alternatives, as SamplingParams::top_logprobs
};

/// Draws one token. logits [vocab], raw. Order of operations: specification 8.2; ties: top_k keeps
/// them, elsewhere larger first, then lower id; noise u = hash(seed of the choice, position, token
/// id), race argmax(p / -log u). A grammar's `allowed` ids are step 3 of 8.2; logprobs do not see
/// them. Same inputs, same bits, on every machine. *Errors*: `malformed` with the position when a
/// logit of an id below valid_vocab is NaN or infinite; `invalid_argument` when every id is
/// forbidden. *Threading*: any.
Expected<Sample> sample(const kernels::KernelTable& table, std::span<const float> logits,
                        const SamplingParams& params, const SampleContext& context);

/// The logprob and rank of a token that is given, with its `top` likeliest rivals: what
/// prompt_logprobs are. *Errors*: `malformed` as in `sample`.
Expected<Sample> score(const kernels::KernelTable& table, std::span<const float> logits,
                       const TokenQuestion& question);

/// log-softmax of `token` over ids below valid_vocab.
float logprob_of(const kernels::KernelTable& table, std::span<const float> logits,
                 std::int64_t valid_vocab, std::int32_t token);

/// What choice `choice` of a request draws with: choice 0 as if there were no others.
std::uint64_t seed_of_choice(std::uint64_t seed, std::uint32_t choice);

/// Uniform in (0, 1), a pure function of its arguments (the counter-based generator).
double uniform_noise(std::uint64_t seed, std::int64_t position, std::int32_t token);

}  // namespace troupe::model
