// strftime over a fixed calendar and the C locale.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace troupe::model::jinja {

/// Formats `seconds` since 1970-01-01 (already shifted to the wanted zone). Nothing for a directive
/// other than %Y %m %d %H %M %S %y %b %B %a %A %j %e %I %p %F %T %%.
std::optional<std::string> format_time(std::string_view format, std::int64_t seconds);

}  // namespace troupe::model::jinja
