// A yield, and how long it took.
#include "core/core_offer.hpp"

#include <thread>

namespace troupe {

bool offer_core() {
  thread_local CoreOffers offers;
  const auto begin = CoreOffers::Clock::now();
  if (!offers.due(begin)) return false;
  std::this_thread::yield();
  offers.made(begin, CoreOffers::Clock::now());
  return true;
}

}  // namespace troupe
