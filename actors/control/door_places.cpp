// Counting places by address.
#include "actors/control/door_places.hpp"

#include <algorithm>
#include <map>
#include <string_view>

#include "core/check.hpp"

namespace troupe::actors {

void DoorPlaces::add(Place place, std::string address, TimePoint now) {
  waiting_.push_back({place, std::move(address), now});
}

void DoorPlaces::remove(Place place) {
  std::erase_if(waiting_, [place](const Waiting& one) { return one.place == place; });
}

const DoorPlaces::Waiting& DoorPlaces::oldest_of_busiest(std::size_t& held) const {
  TROUPE_CHECK(!waiting_.empty(), "nobody waits");
  std::map<std::string_view, std::size_t> counts;
  for (const auto& one : waiting_) held = std::max(held, ++counts[one.address]);
  return *std::ranges::find_if(waiting_,
                               [&](const Waiting& one) { return counts[one.address] == held; });
}

std::optional<DoorPlaces::Place> DoorPlaces::victim(TimePoint now) const {
  if (waiting_.empty()) return std::nullopt;
  std::size_t held = 0;
  const auto& oldest = oldest_of_busiest(held);
  const bool greedy = held > limits_.waiting_max / 4;
  if (!greedy && now - oldest.since < limits_.undisturbed) return std::nullopt;
  return oldest.place;
}

DoorPlaces::TimePoint DoorPlaces::victim_due() const {
  if (waiting_.empty()) return TimePoint::min();
  std::size_t held = 0;
  return oldest_of_busiest(held).since + limits_.undisturbed;
}

std::optional<DoorPlaces::Place> DoorPlaces::expired(TimePoint now) const {
  if (next_expiry() > now) return std::nullopt;
  return waiting_.front().place;
}

DoorPlaces::TimePoint DoorPlaces::next_expiry() const {
  return waiting_.empty() ? TimePoint::max() : waiting_.front().since + limits_.budget;
}

}  // namespace troupe::actors
