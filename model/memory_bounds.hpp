// Where memory ends: who takes some leaves enough to those who cannot fail, and says so if not.
#pragma once
#include <atomic>
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

/// As if `bytes` were allocated and kLeftBySteps beside them. *Errors*: throws std::bad_alloc.
void claim_memory(std::size_t bytes);

/// For jobs that take memory and give it back, again and again. *Threading*: any.
class MemoryMark {
 public:
  /// Runs `work`, which takes `bytes`. Claims them first where they are more than any job has had,
  /// or so many that freeing gives them back to the system. What is less comes from what was freed
  /// before.
  template <class Work>
  void run(std::size_t bytes, const Work& work) {
    if (bytes > most_.load(std::memory_order_relaxed) || bytes >= kLeftBySteps) claim_memory(bytes);
    work();
    auto most = most_.load(std::memory_order_relaxed);
    while (most < bytes && !most_.compare_exchange_weak(most, bytes, std::memory_order_relaxed)) {
    }
  }

 private:
  std::atomic<std::size_t> most_{0};
};

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
