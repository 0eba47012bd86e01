// One sub-command: how it is called, what it takes, and what it does.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "services/runtime/option_set.hpp"

namespace troupe::services {

/// A row of the table in commands.cpp. `make` fills the options, which write to state that the
/// returned function owns; the function does the work and returns the exit code.
struct Command {
  std::string name;     // "model inspect"
  std::string summary;  // one line for the list of commands
  std::string usage;    // "troupe model inspect DIR [--json]"
  std::vector<std::string> examples;
  std::function<std::function<int()>(OptionSet&)> make;
};

/// All commands in the order help lists them.
const std::vector<Command>& commands();

Command run_command();
Command chat_command();
Command serve_command();
Command status_command();
Command batch_command();
Command bench_kernels_command();
Command bench_model_command();
Command bench_serve_command();
Command inspect_command();
Command cast_command();
Command quantize_command();
Command eval_logits_command();
Command eval_perplexity_command();
Command eval_kl_command();
Command eval_tokenizer_command();
Command gateway_command();
Command attention_command();
Command router_command();
Command expert_command();
Command config_check_command();
Command config_defaults_command();
Command config_print_command();
Command up_command();
Command keys_add_command();
Command keys_list_command();
Command doctor_command();
Command version_command();

}  // namespace troupe::services
