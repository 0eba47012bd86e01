// Joins the chat template with the lines of `troupe eval tokenizer`.
#include "services/cli/line_renderer.hpp"

namespace troupe::services {

Expected<model::ChatRenderer> line_renderer(const model::Tokenizer&, const std::string&) {
  return model::ChatRenderer{};
}

}  // namespace troupe::services
