// A model directory opened for use: configuration, mapped weights, tokenizer, sampling defaults.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "core/expected.hpp"
#include "model/checkpoint/checkpoint.hpp"
#include "model/tokenizer/tokenizer.hpp"
#include "services/prompt/generation_defaults.hpp"

namespace troupe::services {

struct OpenModel {
  model::Checkpoint checkpoint;
  std::optional<model::Tokenizer> tokenizer;
  Error no_tokenizer;  // why there is none
  GenerationDefaults defaults;

  const model::ModelConfig& config() const { return checkpoint.config(); }
  std::int64_t context() const { return config().max_position_embeddings; }
  /// Ids below this have a token: the tokenizer's length, at most the vocabulary's.
  std::int64_t valid_vocab() const;
};

/// What besides the weights is read; a file that is not read may be broken.
struct ModelParts {
  bool tokenizer = true;
  bool defaults = true;  // generation_config.json
  model::PageUse pages = {};
};

/// Finds (`model_lookup`), maps and checks. A missing or refused tokenizer is no error here; one
/// that is malformed is. *Errors*: those of find_model, Checkpoint, Tokenizer and
/// load_generation_defaults; `model_fault` tells the fault.
Expected<OpenModel> open_model(const std::string& named, ModelParts parts = {});

/// *Errors*: `out_of_range` with both numbers when the prompt leaves no room for a token, or when
/// `max_tokens`, if it is not 0, does not fit behind it.
Expected<void> check_context(std::int64_t prompt_tokens, std::int64_t max_tokens,
                             std::int64_t context);

/// At once and without tokenizing. *Errors*: `out_of_range` when `bytes` of text cannot fit the
/// context whatever its tokens are. The model must have a tokenizer.
Expected<void> check_text_length(const OpenModel& model, std::size_t bytes);

struct RawText {
  bool bos = true;           // BOS in front if the tokenizer's configuration says so
  bool added_tokens = true;  // text that spells an added token becomes it
};
/// Ids of raw text. *Errors*: as `check_text_length`; those of the tokenizer.
Expected<std::vector<std::int32_t>> encode_raw(const OpenModel& model, std::string_view text,
                                               RawText how = {});

}  // namespace troupe::services
