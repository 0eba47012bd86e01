// Two hexadecimal digits for each byte that cannot be shown.
#include "services/gateway/http/percent_encoding.hpp"

namespace troupe::services::http {

std::string percent_encoded(std::string_view bytes, std::string_view apart) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  for (const char c : bytes) {
    if (c > ' ' && c < '\x7f' && c != '%' && apart.find(c) == apart.npos) {
      out += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out += '%';
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out;
}

}  // namespace troupe::services::http
