// The checks of a request.
#include "actors/request_checks.hpp"

#include <string>

#include "proto/frames/header.hpp"

namespace troupe::actors {
namespace {

Expected<void> check_prompt_logprobs(const GenerateRequest& request,
                                     const model::ModelConfig& config) {
  if (!request.prompt_logprobs) return {};
  if (*request.prompt_logprobs < 0 || *request.prompt_logprobs > model::kTopLogprobsMax)
    return unexpected(Errc::invalid_argument,
                      "prompt_logprobs is " + std::to_string(*request.prompt_logprobs) +
                          "; it must be between 0 and " + std::to_string(model::kTopLogprobsMax));
  const auto valid = request.valid_vocab > 0 ? request.valid_vocab : config.vocab_size;
  for (std::size_t i = 1; i < request.prompt.size(); ++i)
    if (request.prompt[i] >= valid)
      return unexpected(Errc::invalid_argument,
                        "token id " + std::to_string(request.prompt[i]) + " at position " +
                            std::to_string(i) + " is a padding row of the vocabulary and has no " +
                            "probability; drop it or ask without prompt_logprobs");
  return {};
}

}  // namespace

Expected<void> check_request(const GenerateRequest& request, const model::ModelConfig& config) {
  if (auto fine = model::validate(request.sampling); !fine) return unexpected(fine.error());
  if (request.prompt.empty())
    return unexpected(Errc::invalid_argument, "the prompt is empty; give at least one token");
  for (std::size_t i = 0; i < request.prompt.size(); ++i)
    if (request.prompt[i] < 0 || request.prompt[i] >= config.vocab_size)
      return unexpected(Errc::out_of_range, "token id " + std::to_string(request.prompt[i]) +
                                                " at position " + std::to_string(i) +
                                                " is outside the vocabulary of " +
                                                std::to_string(config.vocab_size) + " ids");
  if (auto fine = check_prompt_logprobs(request, config); !fine) return fine;
  if (request.choices == 0 || request.choices > proto::kChoicesMax ||
      request.sampling.choice >= request.choices)
    return unexpected(Errc::invalid_argument, "choice " + std::to_string(request.sampling.choice) +
                                                  " of " + std::to_string(request.choices) +
                                                  " is none; there are 1 to " +
                                                  std::to_string(proto::kChoicesMax) + " choices");
  if (request.grammar.text.size() > proto::kGrammarBytesMax)
    return unexpected(Errc::invalid_argument,
                      "the grammar has " + std::to_string(request.grammar.text.size()) +
                          " bytes; at most " + std::to_string(proto::kGrammarBytesMax) +
                          " are taken");
  if (request.grammar_after < -1 || request.grammar_after >= config.vocab_size)
    return unexpected(Errc::out_of_range, "grammar_after " + std::to_string(request.grammar_after) +
                                              " is outside the vocabulary of " +
                                              std::to_string(config.vocab_size) + " ids");
  const auto total = static_cast<std::int64_t>(request.prompt.size()) + request.sampling.max_tokens;
  if (total > config.max_position_embeddings)
    return unexpected(Errc::out_of_range,
                      std::to_string(request.prompt.size()) + " prompt tokens and max_tokens " +
                          std::to_string(request.sampling.max_tokens) + " exceed the model's " +
                          std::to_string(config.max_position_embeddings) +
                          " positions; shorten the prompt or lower max_tokens");
  return {};
}

}  // namespace troupe::actors
