// The one place where a UCX status becomes an Error.
#pragma once
#include <string_view>

#include <ucs/type/status.h>

#include "core/error.hpp"

namespace troupe::transport {

/// `WHAT: UCX's text`. Peer failures are `unavailable`, exhausted resources
/// `resource_exhausted`, a full queue `overloaded`, what this UCX cannot do `unsupported`, bad
/// arguments and addresses `invalid_argument`, the rest `io`.
Error ucx_error(std::string_view what, ucs_status_t status);

}  // namespace troupe::transport
