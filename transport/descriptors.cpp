// Counts, raises and names the limit on descriptors.
#include "transport/descriptors.hpp"

#include <sys/resource.h>

#include <filesystem>
#include <iterator>
#include <string>
#include <system_error>

namespace troupe::transport {
namespace {

// UCX 1.13 gives back what it has opened before it reports a failure: about what a worker takes.
constexpr std::size_t kNearlyUsedUp = 24;

}  // namespace

DescriptorUse descriptor_use() {
  DescriptorUse use;
  std::error_code failed;
  for (std::filesystem::directory_iterator fd("/proc/self/fd", failed), end; !failed && fd != end;
       fd.increment(failed))
    ++use.open;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) use.limit = limit.rlim_cur;
  // Without a descriptor for the directory itself nothing can be counted.
  if (failed && use.open == 0) use.open = use.limit;
  return use;
}

void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &limit);  // refused: the old limit stays in force
}

bool descriptors_short() {
  const auto use = descriptor_use();
  return use.limit != 0 && use.open + kNearlyUsedUp >= use.limit;
}

Error with_descriptors(Error error) {
  if (!descriptors_short()) return error;
  const auto use = descriptor_use();
  return {Errc::resource_exhausted,
          error.detail + "; " + std::to_string(use.open) + " of the " + std::to_string(use.limit) +
              " file descriptors that this process may have are in use: raise its limit "
              "(ulimit -Hn, LimitNOFILE= of systemd)"};
}

}  // namespace troupe::transport
