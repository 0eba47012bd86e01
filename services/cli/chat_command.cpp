// `troupe chat`: questions and answers through the model's chat template.
#include <memory>

#include "model/config/json_value.hpp"
#include "services/cli/access_options.hpp"
#include "services/cli/command.hpp"
#include "services/cli/conversation.hpp"
#include "services/runtime/faults.hpp"

namespace troupe::services {
namespace {

constexpr std::int64_t kMaxTokensDefault = 1024;

struct Flags {
  GenerationFlags generation;
  std::string system;
  std::string tools_file;
  ChatSettings chat;
  std::optional<std::string> once;
};

Assign json_object(std::string& target) {
  return [&target](std::string_view value) -> Expected<void> {
    const auto json = model::parse_json(value);
    if (!json || json->object() == nullptr) {
      return unexpected(Errc::invalid_argument, "takes a JSON object, as in {\"thinking\": true}");
    }
    target = value;
    return {};
  };
}

void declare(OptionSet& options, Flags& flags) {
  options.group("Conversation");
  options.add({"--once", "QUESTION", "Answer one question and leave",
               [&flags](std::string_view value) -> Expected<void> {
                 flags.once = std::string(value);
                 return {};
               }});
  options.add({"--system", "TEXT", "System message", text(flags.system)});
  options.add({"--tools",
               "FILE",
               "Functions that answers may call: a JSON array, as OpenAI's tools; needs --url",
               text(flags.tools_file),
               {},
               Shown::help_all});
  flags.generation.declare_model(options);
  options.add({"--chat-template",
               "FILE",
               "Jinja template instead of the model's own",
               text(flags.chat.template_file),
               {},
               Shown::help_all});
  options.add({"--template-vars",
               "JSON",
               "Further variables of the template, as an object",
               json_object(flags.chat.variables_json),
               {},
               Shown::help_all});
  flags.generation.sampling.declare(options, kMaxTokensDefault);
  options.group("Engine");
  flags.generation.engine.declare(options, Spread::processes);
}

int converse(Flags& flags, ChatPartner& partner) {
  Conversation conversation(partner, flags.system);
  if (!flags.tools_file.empty()) {
    if (const auto loaded = conversation.load_tools(flags.tools_file); !loaded) {
      const bool file = loaded.error().code != Errc::unsupported;
      return report(file ? Fault::bad_input_file : Fault::surplus_argument,
                    "--tools: " + loaded.error().detail);
    }
  }
  if (const auto failed = conversation.prepare()) return *failed;
  return flags.once ? conversation.ask(*flags.once).exit_code
                    : conversation.talk(flags.generation.sampling);
}

/// Partners read the sampling flags before each answer: /set changes them.
int chat(Flags& flags) {
  if (!flags.generation.server.url.empty()) {
    if (const auto failed = check_access_flags(flags.generation.server)) return *failed;
    RemoteGeneration generation(flags.generation, kMaxTokensDefault);
    RemotePartner partner(generation, flags.chat);
    return converse(flags, partner);
  }
  Generation generation(flags.generation, kMaxTokensDefault);
  LocalPartner partner(generation, flags.chat);
  return converse(flags, partner);
}

}  // namespace

Command chat_command() {
  Command command;
  command.name = "chat";
  command.summary = "Talk with a model in the terminal";
  command.usage = "troupe chat [flags]";
  command.examples = {
      "troupe chat",
      "troupe chat --once \"What is a lighthouse?\" --temperature 0",
      "troupe chat --model DIR --system \"Answer in one sentence.\"",
      "troupe chat --url 127.0.0.1:50051",
  };
  command.make = [](OptionSet& options) {
    auto flags = std::make_shared<Flags>();
    declare(options, *flags);
    return [flags] { return chat(*flags); };
  };
  return command;
}

}  // namespace troupe::services
