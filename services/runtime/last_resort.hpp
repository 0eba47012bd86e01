// Exceptions of libraries as error messages and exit codes, wherever they surface.
#pragma once
#include <functional>

namespace troupe::services {

/// The result of `work`; an exception that leaves it (no memory, no threads, a bug) is reported
/// and becomes its exit code. One that surfaces on another thread ends the process the same way.
int with_last_resort(const std::function<int()>& work);

}  // namespace troupe::services
