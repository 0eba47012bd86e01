// The table behind docs/errors.md.
#include "services/runtime/faults.hpp"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "services/runtime/terminal.hpp"

namespace troupe::services {
namespace {

constexpr auto kCatalogue = std::to_array<FaultEntry>({
    {Fault::unknown_flag, "unknown flag"},
    {Fault::unknown_command, "unknown command"},
    {Fault::bad_value, "a flag's value is not one it takes"},
    {Fault::missing_argument, "an argument is missing"},
    {Fault::surplus_argument, "an argument too many"},
    {Fault::bad_environment, "an environment variable's value is not one its flag takes"},
    {Fault::prompt_not_utf8, "the prompt is not UTF-8"},
    {Fault::prompt_too_long, "the prompt exceeds the context"},
    {Fault::bad_input_file, "an input file cannot be read or does not follow its format"},
    {Fault::token_out_of_range, "a token id is not in the vocabulary"},
    {Fault::impossible_layout, "the layout does not fit the model"},
    {Fault::level_not_available, "this machine lacks the instructions that were asked for"},
    {Fault::memory_not_available, "memory, pages or threads are used up"},
    {Fault::config_unreadable, "a configuration file cannot be read or is not YAML"},
    {Fault::config_unknown_key, "a configuration file names a key that does not exist"},
    {Fault::config_bad_value, "the value of a configuration key is not one it takes"},
    {Fault::config_duplicate_key, "a configuration file gives a key twice"},
    {Fault::config_conflict, "settings that do not fit together"},
    {Fault::model_missing, "no model there"},
    {Fault::model_malformed, "a file of the model does not follow its format"},
    {Fault::model_unsupported, "a model Troupe does not serve"},
    {Fault::model_truncated, "a file of the model is shorter than it should be"},
    {Fault::tokenizer_missing, "the model has no tokenizer Troupe can use"},
    {Fault::chat_template, "the chat template is missing or cannot be used"},
    {Fault::cannot_bind, "a port cannot be opened"},
    {Fault::cannot_connect, "a service cannot be reached"},
    {Fault::cluster_refused, "the cluster refuses this service"},
    {Fault::key_refused, "a server refuses the API key, or wants one"},
    {Fault::timed_out, "something waited for did not happen in time"},
    {Fault::try_later, "not now; asking again later may help"},
    {Fault::output_failed, "output could not be written"},
    {Fault::engine_failed, "a request failed while it ran"},
    {Fault::lines_failed, "some lines of the input failed"},
    {Fault::checks_failed, "a check of this machine failed"},
    {Fault::internal, "a bug"},
});

void print_line(std::string_view line) {
  std::fflush(stdout);
  std::fwrite(line.data(), 1, line.size(), stderr);
  std::fflush(stderr);
}

}  // namespace

std::span<const FaultEntry> fault_catalogue() { return kCatalogue; }

ExitCode exit_code_of(Fault fault) {
  switch (static_cast<int>(fault) / 1000) {
    case 1: return ExitCode::usage;
    case 2: return ExitCode::resource;
    case 3: return ExitCode::config;
    case 4: return ExitCode::model;
    case 5: return ExitCode::connection;
    case 7: return ExitCode::timeout;
    case 8: return ExitCode::temporary;
    default: return ExitCode::failure;
  }
}

Fault model_fault(Errc code) {
  switch (code) {
    case Errc::not_found:
    case Errc::io: return Fault::model_missing;
    case Errc::truncated: return Fault::model_truncated;
    case Errc::unsupported: return Fault::model_unsupported;
    case Errc::resource_exhausted: return Fault::memory_not_available;
    case Errc::unsupported_cpu: return Fault::level_not_available;
    default: return Fault::model_malformed;
  }
}

Fault engine_fault(Errc code) {
  switch (code) {
    case Errc::resource_exhausted: return Fault::memory_not_available;
    case Errc::unsupported_cpu: return Fault::level_not_available;
    case Errc::out_of_range: return Fault::token_out_of_range;
    case Errc::invalid_argument: return Fault::bad_value;
    case Errc::truncated: return Fault::model_truncated;
    case Errc::internal: return Fault::internal;
    default: return Fault::engine_failed;
  }
}

int report(Fault fault, std::string_view text) {
  print_line("error: " + std::string(text) + " [TROUPE-" + std::to_string(static_cast<int>(fault)) +
             "]\n");
  return static_cast<int>(exit_code_of(fault));
}

int print_result(std::string_view text) {
  if (write_stdout(text) || errno == EPIPE) return static_cast<int>(ExitCode::ok);
  return report(Fault::output_failed,
                std::string("cannot write to standard output: ") + std::strerror(errno));
}

void warn(std::string_view text) { print_line("warning: " + std::string(text) + "\n"); }

}  // namespace troupe::services
