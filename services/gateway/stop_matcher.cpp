// Byte by byte against every stop string: they are few and short.
#include "services/gateway/stop_matcher.hpp"

#include <algorithm>

namespace troupe::services {

void StopMatcher::push(std::string_view text, std::string& out) {
  if (matched_) return;
  if (stops_.empty()) {
    out += text;
    return;
  }
  for (const char byte : text) {
    held_ += byte;
    if (complete()) {
      out.append(held_, 0, held_.size() - (include_ ? 0 : stops_[*matched_].size()));
      held_.clear();
      return;
    }
    const std::size_t decided = held_.size() - may_continue();
    out.append(held_, 0, decided);
    held_.erase(0, decided);
  }
}

void StopMatcher::finish(std::string& out) {
  out += held_;
  held_.clear();
}

bool StopMatcher::complete() {
  for (std::size_t i = 0; i < stops_.size(); ++i) {
    const bool longer = !matched_ || stops_[i].size() > stops_[*matched_].size();
    if (longer && held_.ends_with(stops_[i])) matched_ = i;
  }
  return matched_.has_value();
}

/// Bytes at the end of `held_` that begin a stop string; the most of all.
std::size_t StopMatcher::may_continue() const {
  std::size_t most = 0;
  for (const std::string& stop : stops_) {
    for (std::size_t n = std::min(held_.size(), stop.size() - 1); n > most; --n) {
      if (held_.ends_with(std::string_view(stop).substr(0, n))) most = n;
    }
  }
  return most;
}

}  // namespace troupe::services
