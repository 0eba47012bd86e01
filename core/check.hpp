// TROUPE_CHECK: a broken invariant prints what was expected and ends the process.
#pragma once
#include <string_view>

namespace troupe::detail {
[[noreturn]] void check_failed(const char* expression, const char* file, int line,
                               std::string_view detail);
}  // namespace troupe::detail

/// For bugs only; foreseen failures are `Expected`. `values` is a string that carries the values.
#define TROUPE_CHECK(condition, values)  \
  (static_cast<bool>(condition)          \
       ? static_cast<void>(0)            \
       : ::troupe::detail::check_failed(#condition, __FILE__, __LINE__, (values)))
