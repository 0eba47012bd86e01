// What the JSON library says about a text that is not JSON, in words for the person who wrote it.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace troupe::model {

/// "not JSON at byte 9 (line 2, column 3): unexpected '}'; expected string literal" from the
/// `what()` of an exception of nlohmann's parser, without its class and number.
std::string json_error_text(std::string_view what, std::size_t byte);

}  // namespace troupe::model
