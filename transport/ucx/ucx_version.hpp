// Which UCX this process has loaded.
#pragma once
#include <string>

namespace troupe::transport {

/// "1.13.1": of the library found at run time, not of the headers.
std::string ucx_version();

}  // namespace troupe::transport
