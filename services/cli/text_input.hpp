// What `troupe eval perplexity` and `troupe eval kl` share: their flags, and the text as windows.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "services/cli/engine_options.hpp"
#include "services/eval/text_windows.hpp"
#include "services/prompt/open_model.hpp"

namespace troupe::services {

struct TextFlags {
  std::string directory, text_file;
  std::optional<std::int64_t> context, windows_max;
  EngineOptions engine;
  bool json = false;

  /// DIR, --text, --context, --windows.
  void declare_input(OptionSet& options);
  /// The engine's flags and --json.
  void declare_rest(OptionSet& options);
};

// Each of these says nothing when all went well, else the exit code of the error it reported.

/// Opens the model of `directory` with its tokenizer, which must be there.
std::optional<int> open_text_model(const std::string& directory, model::PageUse pages,
                                   std::optional<OpenModel>& model);

/// Reads --text, which must be there and UTF-8. `usage`: of the command.
std::optional<int> read_text(const TextFlags& flags, const char* usage, std::string& text);

/// Ids of the text; what spells an added token stays text.
std::optional<int> encode_text(const TextFlags& flags, const OpenModel& model,
                               const std::string& text, std::vector<std::int32_t>& ids);

/// The windows that the flags ask for; `positions` is what the model (or the smaller one) has.
std::optional<int> cut_text(const TextFlags& flags, const OpenModel& model, std::int64_t positions,
                            std::vector<std::int32_t> ids, std::optional<TextWindows>& windows);

/// Ids of each window but a shorter last one.
std::int64_t window_length(const TextFlags& flags, std::int64_t positions);

/// The flags of the engine, with a cache of one window unless --kv-tokens says otherwise.
EngineOptions window_engine(const TextFlags& flags, std::int64_t positions);

}  // namespace troupe::services
