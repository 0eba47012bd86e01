// Where a server is, and how to be let in.
#pragma once
#include <string>

#include "core/expected.hpp"

namespace troupe::services {

/// A server as a user names it.
struct ServerAccess {
  std::string url;           // [SCHEME://]HOST:PORT
  std::string api_key = {};  // empty: none is sent
  std::string tls_ca =
      {};  // file (PEM) of who may sign its certificate; empty: as this machine has

  /// http and https: its HTTP API; grpc, grpcs or no scheme: gRPC.
  bool speaks_http() const;
  bool speaks_tls() const;
  /// HOST:PORT, without a scheme and the "/v1" that some name behind it.
  std::string address() const;
};

/// *Errors*: `invalid_argument` for a scheme that nobody here speaks, a key that no header can
/// carry, and `tls_ca` without TLS or without a certificate; `io` for a file that cannot be read.
Expected<void> check_access(const ServerAccess& access);

/// The text of `tls_ca`; empty where there is none. *Errors*: as check_access.
Expected<std::string> read_authorities(const ServerAccess& access);

}  // namespace troupe::services
