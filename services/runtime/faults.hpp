// Every kind of failure a user can meet: its stable number, exit code and title.
#pragma once
#include <span>
#include <string>
#include <string_view>

#include "core/error.hpp"

namespace troupe::services {

/// What the process answers its caller with (docs/errors.md).
enum class ExitCode : int {
  ok = 0,
  failure = 1,
  usage = 2,        // bad flag, prompt or input file
  config = 3,       // a configuration that is not valid
  model = 4,        // missing, invalid, refused, or truncated while mapped
  connection = 5,   // cannot bind or connect, or refused by the cluster
  resource = 6,     // level or memory not available
  timeout = 7,      // something waited for did not happen in time
  temporary = 75,   // asking again later may help (EX_TEMPFAIL)
  interrupt = 130,  // Ctrl-C
  terminate = 143,  // a second SIGTERM, or one to a command that does not drain
};

/// Numbers are stable: append, never renumber. 1xxx usage, 2xxx machine, 3xxx configuration,
/// 4xxx model, 5xxx connections, 7xxx time, 8xxx try again later, 9xxx the rest.
enum class Fault : int {
  unknown_flag = 1001,
  unknown_command = 1002,
  bad_value = 1003,
  missing_argument = 1004,
  surplus_argument = 1005,
  bad_environment = 1006,
  prompt_not_utf8 = 1101,
  prompt_too_long = 1102,
  bad_input_file = 1103,
  token_out_of_range = 1104,
  impossible_layout = 1105,
  level_not_available = 2001,
  memory_not_available = 2002,
  config_unreadable = 3001,
  config_unknown_key = 3002,
  config_bad_value = 3003,
  config_duplicate_key = 3004,
  config_conflict = 3005,
  model_missing = 4001,
  model_malformed = 4002,
  model_unsupported = 4003,
  model_truncated = 4004,
  tokenizer_missing = 4005,
  chat_template = 4006,
  cannot_bind = 5001,
  cannot_connect = 5002,
  cluster_refused = 5003,
  key_refused = 5004,
  timed_out = 7001,
  try_later = 8001,
  output_failed = 9001,
  engine_failed = 9002,
  lines_failed = 9003,
  checks_failed = 9004,
  internal = 9999,
};

struct FaultEntry {
  Fault fault;
  std::string_view title;
};

/// All of them, ascending; docs/errors.md has one section each.
std::span<const FaultEntry> fault_catalogue();

ExitCode exit_code_of(Fault fault);

/// The fault of an error met while a checkpoint directory was read.
Fault model_fault(Errc code);
/// The fault of an error met while requests ran.
Fault engine_fault(Errc code);

/// Prints `error: TEXT [TROUPE-NNNN]` to stderr. `text` says what, where, why and the next step.
/// Returns the exit code as `main` returns it.
int report(Fault fault, std::string_view text);

/// Writes a command's whole answer to stdout and returns its exit code. A reader that has gone has
/// seen enough; anything else is reported.
int print_result(std::string_view text);
/// Prints `warning: TEXT` to stderr.
void warn(std::string_view text);

}  // namespace troupe::services
