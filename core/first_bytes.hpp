// What a program may be that came to a port of ours by mistake.
#pragma once
#include <string>
#include <string_view>

namespace troupe {

/// "an HTTP request", "a TLS hello", ...; else its first bytes in hexadecimal. `bytes` may be
/// anything and as few as there are.
std::string looks_like(std::string_view bytes);

}  // namespace troupe
