// The flags by which commands reach a running server: where it is, the key, whom to trust.
#pragma once
#include <optional>

#include "services/client/server_access.hpp"
#include "services/runtime/option_set.hpp"

namespace troupe::services {

/// --api-key and --tls-ca; --url is the command's own, which says what is asked there.
void declare_access(OptionSet& options, ServerAccess& access);

/// Nothing if a server can be asked so, or the exit code of a reported error.
std::optional<int> check_access_flags(const ServerAccess& access);

}  // namespace troupe::services
