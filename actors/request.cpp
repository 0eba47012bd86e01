// Names of the finish reasons.
#include "actors/request.hpp"

namespace troupe::actors {

std::string_view to_string(FinishReason reason) {
  switch (reason) {
    case FinishReason::stop: return "stop";
    case FinishReason::length: return "length";
    case FinishReason::cancelled: return "cancelled";
    case FinishReason::error: return "error";
  }
  return "unknown";
}

}  // namespace troupe::actors
