// Two token buckets for each line: its address' and everybody's.
#include "core/door_log.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace troupe {

void DoorLog::Bucket::fill(double most, std::chrono::milliseconds every, TimePoint now) {
  const std::chrono::duration<double> passed = now - at;
  const std::chrono::duration<double> each = every;
  lines = std::min(most, lines + passed / each);
  at = now;
}

std::optional<std::uint64_t> DoorLog::admit(const std::string& address, TimePoint now) {
  if (all_.at == TimePoint()) all_.at = now;
  all_.fill(limits_.all_at_once, limits_.all_every, now);
  if (by_address_.size() >= limits_.addresses_max && !by_address_.contains(address)) {
    for (auto at = by_address_.begin(); at != by_address_.end();) {
      at->second.fill(limits_.lines_at_once, limits_.line_every, now);
      at = at->second.lines >= limits_.lines_at_once ? by_address_.erase(at) : std::next(at);
    }
    // All of them are busy: what bounds the log then is everybody's bucket.
    if (by_address_.size() >= limits_.addresses_max) by_address_.clear();
  }
  auto& own = by_address_.try_emplace(address, Bucket{limits_.lines_at_once, now}).first->second;
  own.fill(limits_.lines_at_once, limits_.line_every, now);
  if (own.lines < 1 || all_.lines < 1) {
    ++left_out_;
    return std::nullopt;
  }
  own.lines -= 1;
  all_.lines -= 1;
  return std::exchange(left_out_, 0);
}

}  // namespace troupe
