// Any bytes as a JSON string, and as one line of text for a terminal.
#pragma once
#include <string>
#include <string_view>

namespace troupe::services {

/// In quotes; control characters escaped, bytes that are no UTF-8 as U+FFFD.
std::string json_text(std::string_view text);

/// Control characters as '?', bytes that are no UTF-8 as U+FFFD.
std::string printable(std::string_view text);

}  // namespace troupe::services
