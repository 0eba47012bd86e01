// `troupe eval tokenizer`: answers a file of tokenizer and chat questions line by line.
#include <cerrno>
#include <fstream>
#include <memory>

#include "model/checkpoint/files.hpp"
#include "model/tokenizer/eval_lines.hpp"
#include "services/cli/command.hpp"
#include "services/cli/result_file.hpp"
#include "services/prompt/chat_prompt.hpp"
#include "services/runtime/faults.hpp"
#include "services/runtime/interrupts.hpp"
#include "services/runtime/model_lookup.hpp"

namespace troupe::services {
namespace {

struct Flags {
  std::string directory, in, out, chat_template;
};

int missing_flag(const char* flag) {
  return report(Fault::missing_argument,
                std::string("troupe eval tokenizer needs ") + flag +
                    " FILE. Usage: troupe eval tokenizer DIR --in F.jsonl --out O.jsonl");
}

struct LineCounts {
  std::size_t lines = 0, failed = 0;
};

LineCounts answer_lines(const model::Tokenizer& tokenizer, const model::ChatRenderer& render,
                        std::istream& in, std::ostream& out) {
  LineCounts counts;
  for (std::string line; !interrupted() && std::getline(in, line);) {
    const model::EvalAnswer answer = model::eval_tokenizer_line(tokenizer, render, line);
    out << answer.json << '\n';
    ++counts.lines;
    if (!answer.ok) ++counts.failed;
  }
  return counts;
}

int eval_tokenizer(const Flags& flags) {
  if (flags.in.empty()) return missing_flag("--in");
  if (flags.out.empty()) return missing_flag("--out");
  const auto directory = find_model(flags.directory);
  if (!directory) return report(Fault::model_missing, directory.error().detail);
  const auto tokenizer = model::Tokenizer::load(*directory);
  if (!tokenizer) {
    const Errc code = tokenizer.error().code;
    const bool none = code == Errc::not_found || code == Errc::unsupported;
    return report(none ? Fault::tokenizer_missing : model_fault(code), tokenizer.error().detail);
  }
  const auto render = line_renderer(*tokenizer, flags.chat_template);
  if (!render) return report(Fault::chat_template, render.error().detail);

  std::ifstream in(flags.in, std::ios::binary);
  if (!in) return report(Fault::bad_input_file, model::os_error("open", flags.in, errno).detail);
  ResultFile output(flags.out);
  std::ofstream out(output.written_path(), std::ios::binary);
  if (!out) {
    return report(Fault::output_failed,
                  model::os_error("create", output.written_path(), errno).detail);
  }
  const LineCounts counts = answer_lines(*tokenizer, *render, in, out);
  const bool read_failed = in.bad();
  out.close();
  if (interrupted()) return static_cast<int>(ExitCode::interrupt);
  if (read_failed) return report(Fault::bad_input_file, "cannot read " + flags.in);
  if (!out) return report(Fault::output_failed, "cannot write " + output.written_path().string());
  if (const auto kept = output.commit(); !kept) {
    return report(Fault::output_failed, kept.error().detail);
  }
  if (counts.failed == 0) return 0;
  return report(Fault::lines_failed, std::to_string(counts.failed) + " of " +
                                         std::to_string(counts.lines) + " lines of " + flags.in +
                                         " failed; their answers in " + flags.out +
                                         " hold {\"error\"} with the reason");
}

}  // namespace

Command eval_tokenizer_command() {
  Command command;
  command.name = "eval tokenizer";
  command.summary = "Token ids, texts and rendered chats for a file of questions (JSON lines)";
  command.usage = "troupe eval tokenizer DIR --in F.jsonl --out O.jsonl";
  command.examples = {
      "troupe eval tokenizer DIR --in questions.jsonl --out answers.jsonl",
  };
  command.make = [](OptionSet& options) {
    auto flags = std::make_shared<Flags>();
    options.group("Input and output");
    options.add({"DIR",
                 "",
                 "Directory with tokenizer.json; no weights needed",
                 text(flags->directory),
                 {},
                 Shown::first_screen,
                 false,
                 true});
    options.add({"--in", "FILE",
                 "One JSON object per line: {\"text\"}, {\"ids\"} or {\"messages\"}",
                 text(flags->in)});
    options.add({"--out", "FILE", "One answer per line, in the same order; replaced if present",
                 text(flags->out)});
    options.add({"--chat-template", "FILE", "Template to use instead of the model's",
                 text(flags->chat_template)});
    return [flags] { return eval_tokenizer(*flags); };
  };
  return command;
}

}  // namespace troupe::services
