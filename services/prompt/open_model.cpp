// Opening a model directory, and the checks of a prompt against it.
#include "services/prompt/open_model.hpp"

#include <algorithm>

#include "services/runtime/model_lookup.hpp"

namespace troupe::services {
namespace {

/// Bytes of the longest token: a text has at least its bytes divided by this many tokens.
std::size_t longest_token(const model::Tokenizer& tokenizer) {
  std::size_t longest = 1;
  for (std::int32_t id = 0; id < tokenizer.size(); ++id) {
    longest = std::max(longest, tokenizer.bytes_of(id).size());
  }
  return longest;
}

}  // namespace

std::int64_t OpenModel::valid_vocab() const {
  const std::int64_t rows = config().vocab_size;
  return tokenizer ? std::min<std::int64_t>(tokenizer->size(), rows) : rows;
}

Expected<OpenModel> open_model(const std::string& named, ModelParts parts) {
  auto directory = find_model(named);
  if (!directory) return unexpected(std::move(directory).error());
  auto checkpoint = model::Checkpoint::open(*directory, parts.pages);
  if (!checkpoint) return unexpected(std::move(checkpoint).error());
  OpenModel opened{*std::move(checkpoint), std::nullopt, {}, {}};
  if (parts.defaults) {
    auto defaults = load_generation_defaults(*directory);
    if (!defaults) return unexpected(std::move(defaults).error());
    opened.defaults = *std::move(defaults);
  }
  if (!parts.tokenizer) return opened;
  auto tokenizer = model::Tokenizer::load(*directory);
  if (tokenizer) {
    opened.tokenizer = *std::move(tokenizer);
  } else if (tokenizer.error().code == Errc::malformed) {
    return unexpected(std::move(tokenizer).error());
  } else {
    opened.no_tokenizer = tokenizer.error();
  }
  return opened;
}

Expected<void> check_context(std::int64_t prompt_tokens, std::int64_t max_tokens,
                             std::int64_t context) {
  const std::string numbers = "the prompt has " + std::to_string(prompt_tokens) +
                              " tokens and the model's context is " + std::to_string(context);
  if (prompt_tokens >= context) return unexpected(Errc::out_of_range, numbers + ". Shorten it");
  if (prompt_tokens + max_tokens > context) {
    return unexpected(Errc::out_of_range, numbers + ", so --max-tokens can be " +
                                              std::to_string(context - prompt_tokens) +
                                              " at most, not " + std::to_string(max_tokens));
  }
  return {};
}

Expected<void> check_text_length(const OpenModel& model, std::size_t bytes) {
  const std::size_t tokens_min = bytes / longest_token(*model.tokenizer);
  if (tokens_min <= static_cast<std::size_t>(model.context())) return {};
  return unexpected(Errc::out_of_range, "the prompt of " + std::to_string(bytes) +
                                            " bytes has at least " + std::to_string(tokens_min) +
                                            " tokens and the model's context is " +
                                            std::to_string(model.context()) + ". Shorten it");
}

Expected<std::vector<std::int32_t>> encode_raw(const OpenModel& model, std::string_view text,
                                               RawText how) {
  if (auto fits = check_text_length(model, text.size()); !fits) return unexpected(fits.error());
  const model::Tokenizer& tokenizer = *model.tokenizer;
  auto ids = tokenizer.encode(text, {how.added_tokens});
  if (!ids) return ids;
  if (how.bos && tokenizer.config().add_bos_token && tokenizer.bos_id()) {
    ids->insert(ids->begin(), *tokenizer.bos_id());
  }
  return ids;
}

}  // namespace troupe::services
