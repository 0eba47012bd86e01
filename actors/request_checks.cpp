// The checks of a request.
#include "actors/request_checks.hpp"

#include <string>

namespace troupe::actors {

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
