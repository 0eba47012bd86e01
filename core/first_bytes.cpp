// Beginnings of protocols that are often met.
#include "core/first_bytes.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

#include "core/hexadecimal.hpp"

namespace troupe {
namespace {

constexpr std::size_t kShown = 8;

struct Beginning {
  std::string_view bytes;
  std::string_view name;
};

using std::string_view_literals::operator""sv;
constexpr std::array kBeginnings{
    Beginning{"GET ", "an HTTP request"},
    Beginning{"HEAD ", "an HTTP request"},
    Beginning{"POST ", "an HTTP request"},
    Beginning{"PUT ", "an HTTP request"},
    Beginning{"PATCH ", "an HTTP request"},
    Beginning{"DELETE ", "an HTTP request"},
    Beginning{"OPTIONS ", "an HTTP request"},
    Beginning{"CONNECT ", "an HTTP request"},
    Beginning{"PRI * ", "the hello of HTTP/2, as gRPC's"},
    Beginning{"\x16\x03"sv, "a TLS hello"},
    Beginning{"SSH-", "an SSH hello"},
    Beginning{"\x01\0\0"sv,
              "CAF's own protocol, as releases without a proof of the join token speak it"},
};

}  // namespace

std::string looks_like(std::string_view bytes) {
  for (const auto& known : kBeginnings)
    if (bytes.starts_with(known.bytes)) return std::string(known.name);
  const auto* first = reinterpret_cast<const std::uint8_t*>(bytes.data());
  return "bytes " + to_hex({first, std::min(bytes.size(), kShown)});
}

}  // namespace troupe
