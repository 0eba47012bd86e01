// Bytes of strangers in visible ASCII.
#pragma once
#include <string>
#include <string_view>

namespace troupe::services::http {

/// `bytes` with everything but visible ASCII as %XX; so are '%' and the characters of `apart`.
std::string percent_encoded(std::string_view bytes, std::string_view apart = {});

}  // namespace troupe::services::http
