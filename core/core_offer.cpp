// A yield, and how long it took.
#include "core/core_offer.hpp"

#include <chrono>
#include <thread>

namespace troupe {
namespace {

using Clock = std::chrono::steady_clock;

/// Longer than threads of this program compute between two waits, shorter than a time slice.
constexpr std::chrono::milliseconds kLong{1};
/// So long a busy machine is taken to stay one.
constexpr std::chrono::milliseconds kNoOffers{100};

thread_local Clock::time_point no_offer_until;

}  // namespace

bool offer_core() {
  const auto before = Clock::now();
  if (before < no_offer_until) return false;
  std::this_thread::yield();
  const auto after = Clock::now();
  if (after - before >= kLong) no_offer_until = after + kNoOffers;
  return true;
}

}  // namespace troupe
