// From a file of text to windows of ids, with what may be wrong on the way.
#include "services/cli/text_input.hpp"

#include <algorithm>

#include "kernels/ops/mla_attention.hpp"
#include "services/cli/input_file.hpp"
#include "services/cli/prompt_source.hpp"
#include "services/runtime/faults.hpp"

namespace troupe::services {
namespace {

constexpr std::uint64_t kTextBytesMax = 256 << 20;
constexpr std::int64_t kContextDefault = 512;
constexpr std::int64_t kContextMax = 1 << 20;

}  // namespace

void TextFlags::declare_input(OptionSet& options) {
  options.add({"DIR",
               "",
               "Directory with config.json, weights and tokenizer",
               text(directory),
               {},
               Shown::first_screen,
               false,
               true});
  options.add({"--text", "FILE", "UTF-8 text to score; - is standard input", text(text_file)});
  options.add({"--context", "N",
               "Ids of a window, BOS included [512, or what the model has positions for]",
               integer(context, {2, kContextMax})});
  options.add(
      {"--windows", "N", "Only the first N windows [all]", integer(windows_max, {1, kContextMax})});
}

void TextFlags::declare_rest(OptionSet& options) {
  options.group("Engine");
  engine.mode = "bf16";  // the weights by themselves
  engine.declare(options, Spread::one_process);
  options.group("Output");
  options.add({"--json", "", "Print one JSON object", yes_no(json)});
}

std::optional<int> open_text_model(const std::string& directory, model::PageUse pages,
                                   std::optional<OpenModel>& model) {
  auto opened = open_model(directory, {.tokenizer = true, .defaults = false, .pages = pages});
  if (!opened) return report(model_fault(opened.error().code), opened.error().detail);
  if (!opened->tokenizer)
    return report(Fault::tokenizer_missing,
                  opened->no_tokenizer.detail +
                      ". A text has no ids without one; troupe eval logits takes ids");
  model.emplace(*std::move(opened));
  return std::nullopt;
}

std::optional<int> read_text(const TextFlags& flags, const char* usage, std::string& text) {
  if (flags.text_file.empty())
    return report(Fault::missing_argument, std::string("--text FILE is missing. Usage: ") + usage);
  auto read = read_input(flags.text_file, kTextBytesMax);
  if (!read && read.error().code == Errc::cancelled) return static_cast<int>(ExitCode::interrupt);
  if (!read) {
    const bool too_long = read.error().code == Errc::invalid_argument;
    const char* next = too_long ? "" : ". Name a file of UTF-8 text, or - for standard input";
    return report(Fault::bad_input_file, read.error().detail + next);
  }
  if (const auto utf8 = require_utf8(*read, flags.text_file); !utf8)
    return report(Fault::bad_input_file, utf8.error().detail);
  text = *std::move(read);
  return std::nullopt;
}

std::optional<int> encode_text(const TextFlags& flags, const OpenModel& model,
                               const std::string& text, std::vector<std::int32_t>& ids) {
  auto encoded = model.tokenizer->encode(text, {.recognize_added_tokens = false});
  if (!encoded)
    return report(Fault::bad_input_file, flags.text_file + ": " + encoded.error().detail);
  ids = *std::move(encoded);
  return std::nullopt;
}

std::int64_t window_length(const TextFlags& flags, std::int64_t positions) {
  return flags.context.value_or(std::min(kContextDefault, positions));
}

std::optional<int> cut_text(const TextFlags& flags, const OpenModel& model, std::int64_t positions,
                            std::vector<std::int32_t> ids, std::optional<TextWindows>& windows) {
  if (positions < 2)
    return report(Fault::prompt_too_long, "the model has " + std::to_string(positions) +
                                              " position; a text needs 2. Name another model");
  WindowShape shape{.length = window_length(flags, positions), .windows_max = flags.windows_max};
  if (shape.length > positions)
    return report(Fault::prompt_too_long, "--context " + std::to_string(shape.length) +
                                              ": the model has " + std::to_string(positions) +
                                              " positions. Lower it");
  const model::Tokenizer& tokenizer = *model.tokenizer;
  if (tokenizer.config().add_bos_token) shape.bos = tokenizer.bos_id();
  const std::size_t found = ids.size();
  windows.emplace(std::move(ids), shape);
  if (windows->count() > 0) return std::nullopt;
  return report(Fault::bad_input_file, flags.text_file + " has " + std::to_string(found) +
                                           " tokens, none with something before it that says how "
                                           "likely it is. Give it more text");
}

EngineOptions window_engine(const TextFlags& flags, std::int64_t positions) {
  EngineOptions engine = flags.engine;
  const std::int64_t pages = window_length(flags, positions) / kernels::kPageTokens + 1;
  if (!engine.kv_tokens) engine.kv_tokens = pages * kernels::kPageTokens;
  return engine;
}

}  // namespace troupe::services
