// What run and chat share: flags, the opened model, and one request after another on its cluster.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "services/cli/answer_printer.hpp"
#include "services/cli/compute.hpp"
#include "services/cli/engine_options.hpp"
#include "services/cli/sampling_options.hpp"
#include "services/client/server_access.hpp"
#include "services/prompt/chat_prompt.hpp"
#include "services/prompt/open_model.hpp"

namespace troupe::services {

struct GenerationFlags {
  std::string model;
  ServerAccess server;  // with a url, a gateway there answers, and `model` is a served name
  EngineOptions engine;
  SamplingOptions sampling;

  void declare_model(OptionSet& options);
};

/// A model that answers prompts.
class Generation {
 public:
  /// `max_tokens_default`: what is generated when no flag says how much, if the context has room.
  Generation(const GenerationFlags& flags, std::int64_t max_tokens_default)
      : flags_(flags), max_tokens_default_(max_tokens_default) {}

  /// Opens the model; the cluster starts with the first request. Returns the exit code of a
  /// reported error.
  std::optional<int> open();
  /// Whether there is a tokenizer; if not, the error is reported and its exit code returned.
  std::optional<int> require_tokenizer() const;
  const OpenModel& model() const { return *model_; }

  /// Streams the answer to `prompt` to stdout, its usage (and a drawn seed) to stderr. Errors are
  /// reported; `exit_code` says how it ended.
  struct Result {
    int exit_code = 0;
    Ending ending = Ending::failed;
    std::string text;
    actors::Usage usage = {};
    std::vector<ChatToolCall> calls = {};  // that a gateway has told apart
  };
  Result answer(std::vector<std::int32_t> prompt, bool as_ids);

 private:
  std::optional<int> check_prompt(const std::vector<std::int32_t>& prompt) const;
  actors::GenerateRequest request_for(std::vector<std::int32_t> prompt) const;
  std::optional<int> start();

  const GenerationFlags& flags_;
  std::int64_t max_tokens_default_;
  std::optional<OpenModel> model_;
  std::unique_ptr<actors::RequestEngine> cluster_;  // after model_: it holds views of it
};

/// Prints the usage or reports the error of an answer that has been printed.
Generation::Result conclude(PrintedAnswer printed);

}  // namespace troupe::services
