// UCX statuses by the kind of failure they mean to us.
#include "transport/ucx/ucx_error.hpp"

#include <string>

namespace troupe::transport {
namespace {

Errc kind_of(ucs_status_t status) {
  if (UCS_IS_LINK_ERROR(status) || UCS_IS_ENDPOINT_ERROR(status)) return Errc::unavailable;
  switch (status) {
    case UCS_OK: return Errc::ok;
    case UCS_ERR_UNREACHABLE:
    case UCS_ERR_NOT_CONNECTED:
    case UCS_ERR_CONNECTION_RESET:
    case UCS_ERR_REJECTED:
    case UCS_ERR_TIMED_OUT: return Errc::unavailable;
    case UCS_ERR_NO_RESOURCE:
    case UCS_ERR_BUSY: return Errc::overloaded;
    case UCS_ERR_NO_MEMORY:
    case UCS_ERR_SHMEM_SEGMENT:
    case UCS_ERR_EXCEEDS_LIMIT: return Errc::resource_exhausted;
    case UCS_ERR_NOT_IMPLEMENTED:
    case UCS_ERR_UNSUPPORTED:
    case UCS_ERR_NO_DEVICE: return Errc::unsupported;
    case UCS_ERR_INVALID_PARAM:
    case UCS_ERR_INVALID_ADDR:
    case UCS_ERR_OUT_OF_RANGE: return Errc::invalid_argument;
    case UCS_ERR_MESSAGE_TRUNCATED:
    case UCS_ERR_BUFFER_TOO_SMALL: return Errc::truncated;
    case UCS_ERR_CANCELED: return Errc::cancelled;
    default: return Errc::io;
  }
}

}  // namespace

Error ucx_error(std::string_view what, ucs_status_t status) {
  return {kind_of(status), std::string(what) + ": " + ucs_status_string(status)};
}

}  // namespace troupe::transport
