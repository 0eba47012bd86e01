// Names of the error codes.
#include "core/error.hpp"

namespace troupe {

std::string_view to_string(Errc code) {
  switch (code) {
    case Errc::ok: return "ok";
    case Errc::invalid_argument: return "invalid_argument";
    case Errc::not_found: return "not_found";
    case Errc::malformed: return "malformed";
    case Errc::unsupported: return "unsupported";
    case Errc::truncated: return "truncated";
    case Errc::io: return "io";
    case Errc::out_of_range: return "out_of_range";
    case Errc::overloaded: return "overloaded";
    case Errc::deadline_exceeded: return "deadline_exceeded";
    case Errc::cancelled: return "cancelled";
    case Errc::unavailable: return "unavailable";
    case Errc::not_resident: return "not_resident";
    case Errc::stale: return "stale";
    case Errc::resource_exhausted: return "resource_exhausted";
    case Errc::unsupported_cpu: return "unsupported_cpu";
    case Errc::internal: return "internal";
  }
  return "unknown";
}

}  // namespace troupe
