// Prints a broken invariant and aborts.
#include "core/check.hpp"

#include <cstdio>
#include <cstdlib>

namespace troupe::detail {

void check_failed(const char* expression, const char* file, int line, std::string_view detail) {
  std::fprintf(stderr, "troupe: broken invariant: %s (%.*s) at %s:%d\n", expression,
               static_cast<int>(detail.size()), detail.data(), file, line);
  std::abort();
}

}  // namespace troupe::detail
