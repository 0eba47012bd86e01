// The list of sub-commands.
#include "services/cli/command.hpp"

namespace troupe::services {

const std::vector<Command>& commands() {
  static const std::vector<Command> all{
      run_command(),
      chat_command(),
      serve_command(),
      inspect_command(),
      cast_command(),
      quantize_command(),
      eval_logits_command(),
      eval_perplexity_command(),
      eval_kl_command(),
      eval_tokenizer_command(),
      gateway_command(),
      attention_command(),
      router_command(),
      expert_command(),
      status_command(),
      config_check_command(),
      config_print_command(),
      config_defaults_command(),
      up_command(),
      keys_add_command(),
      keys_list_command(),
      batch_command(),
      bench_kernels_command(),
      bench_model_command(),
      bench_serve_command(),
      doctor_command(),
      version_command(),
  };
  return all;
}

}  // namespace troupe::services
