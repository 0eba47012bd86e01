// The list of sub-commands.
#include "services/cli/command.hpp"

namespace troupe::services {

const std::vector<Command>& commands() {
  static const std::vector<Command> all{
      eval_tokenizer_command(),
      version_command(),
  };
  return all;
}

}  // namespace troupe::services
