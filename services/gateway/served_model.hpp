// A model as the APIs see it: its name, its prompts, what it can be asked for.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "model/numerics.hpp"
#include "services/gateway/api_error.hpp"
#include "services/gateway/generate_call.hpp"
#include "services/prompt/chat_prompt.hpp"
#include "services/prompt/open_model.hpp"

namespace troupe::services {

/// A conversation as the model reads it.
struct ServedPrompt : model::EncodedChat {
  std::vector<std::string>
      ignored;  // paths of what was given and reaches neither it nor the answer
};

/// *Threading*: const calls from any thread. The opened model must outlive it.
class ServedModel {
 public:
  struct Settings {
    std::string name;  // empty: the directory's
    model::ActivationMode mode = model::ActivationMode::bf16;
    std::uint64_t numerics_id = 0;
    std::string template_file = {};  // empty: the model's own
    bool strict = false;             // what a prompt leaves out is refused, not told to be ignored
  };
  /// A model without a chat template is served without chat; one that cannot be used is an error.
  /// *Errors*: those of ChatPrompt::load but `not_found`.
  static Expected<ServedModel> make(const OpenModel& model, Settings settings);

  const std::string& name() const { return settings_.name; }
  const OpenModel& model() const { return *model_; }
  const Settings& settings() const { return settings_; }
  bool has_chat() const { return chat_.has_value(); }
  const model::Tokenizer* tokenizer() const;
  /// How answers to conversations write thoughts and calls.
  model::AnswerFormat answer_format() const {
    return chat_ ? chat_->answer_format() : model::AnswerFormat{};
  }
  std::string fingerprint() const { return model::fingerprint(settings_.numerics_id); }

  /// Nothing if requests for `asked` are for this model; empty asks for whatever is served.
  std::optional<ApiError> refuse_name(const std::string& asked) const;
  /// FAILED_PRECONDITION / TOKENIZER_MISSING without a tokenizer.
  std::optional<ApiError> refuse_text() const;

  /// Ids of raw text. `field` names the text in errors.
  Answered<std::vector<std::int32_t>> encode(const std::string& text, RawText how,
                                             const std::string& field) const;
  /// Nothing, or why no answer can have this form: compiles it, or finds it compiled, which takes
  /// as long as Grammar::compile says.
  std::optional<ApiError> refuse_format(const FormatCall& format) const;
  /// The conversation as the model's template writes it.
  Answered<ServedPrompt> encode(const ChatCall& chat) const;
  /// Nothing, or the first of `ids` that is none of the vocabulary. `field` names them in errors.
  std::optional<ApiError> refuse_ids(std::span<const std::int32_t> ids,
                                     const std::string& field) const;

 private:
  ServedModel(const OpenModel& model, Settings settings);
  std::optional<ApiError> refuse_length(std::size_t bytes, const std::string& field) const;
  bool tells_tools(const ChatCall& chat, const std::string& prompt) const;

  const OpenModel* model_;
  Settings settings_;
  std::optional<ChatPrompt> chat_;
  std::size_t token_bytes_max_ = 1;  // bytes of the longest token
  struct Grammars;
  std::shared_ptr<Grammars> grammars_;
};

}  // namespace troupe::services
