// Where memory ends: who takes some leaves enough to those who cannot fail, and says so if not.
#pragma once
#include <cstddef>
#include <new>
#include <string>
#include <utility>

#include "core/expected.hpp"

namespace troupe::model {

/// Left to those who take a little and cannot fail: loops, links, logs, the answers that say no.
/// Whoever keeps memory longer leaves more: pages stay for ever, requests go.
inline constexpr std::size_t kLeftByPages = std::size_t{4} << 20;
inline constexpr std::size_t kLeftBySteps = std::size_t{2} << 20;
inline constexpr std::size_t kLeftByRequests = std::size_t{64} << 10;

/// Whether the system would give so much more now. *Threading*: any; takes 2 us.
bool system_has(std::size_t bytes);
/// The same of this thread's allocations, which also come from what was freed before.
bool heap_has(std::size_t bytes);

/// Runs `work`. *Errors*: `resource_exhausted` where there was no memory for it; `what` names it.
template <class Work>
Expected<void> within_memory(const char* what, Work&& work) {
  try {
    std::forward<Work>(work)();
  } catch (const std::bad_alloc&) {
    return unexpected(Errc::resource_exhausted, std::string("no memory for ") + what);
  }
  return {};
}

}  // namespace troupe::model
