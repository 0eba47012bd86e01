// Tokens to syntax tree.
#pragma once
#include <string_view>

#include "core/expected.hpp"
#include "model/chat/jinja/ast.hpp"

namespace troupe::model::jinja {

/// The statements of a template. Filters and tests are resolved here, so that a template that needs
/// one Troupe lacks is refused when it is loaded.
/// *Errors*: malformed (a syntax error), unsupported (a construct of Jinja that Troupe does not
/// run), resource_exhausted (nested too deep); the text names construct and line.
Expected<Body> parse_template(std::string_view source);

}  // namespace troupe::model::jinja
