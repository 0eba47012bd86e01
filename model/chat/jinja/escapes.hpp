// Escapes in string literals of templates.
#pragma once
#include <string>
#include <string_view>

#include "core/expected.hpp"

namespace troupe::model::jinja {

/// Resolves what stands between the quotes as Python's unicode-escape codec does; an unknown escape
/// stays as written. *Errors*: malformed (cut short), unsupported (`\N{name}`, surrogates).
Expected<std::string> resolve_escapes(std::string_view literal, int line);

}  // namespace troupe::model::jinja
