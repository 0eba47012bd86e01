// Time as a loop lives it: while the whole process is stopped, it stands still.
#pragma once
#include <algorithm>
#include <chrono>

#include "actors/request.hpp"

namespace troupe::actors {

/// Ctrl-Z, a debugger or a frozen container stop every loop of a process at once. Afterwards all of
/// its deadlines would have passed together, though no peer was silent: nobody could speak. This
/// clock lets a loop's time go on by one longest sleep at most while it is not looked at, which a
/// loop that has deadlines does at least that often.
/// *Threading*: one loop.
class RunningClock {
 public:
  static constexpr std::chrono::milliseconds kLongestSleep{500};
  /// Gaps from here on are stops; shorter ones are a busy machine and count.
  static constexpr std::chrono::seconds kStop{2};

  explicit RunningClock(TimePoint now) : seen_(now) {}

  /// The loop's time at `now`.
  TimePoint at(TimePoint now) {
    const auto gap = now - seen_;
    if (gap >= kStop) stopped_ += gap - kLongestSleep;
    seen_ = now;
    return now - stopped_;
  }
  /// When to look again, of those who look, for a deadline in the loop's time.
  TimePoint wake(TimePoint deadline) const {
    return std::min(deadline + stopped_, seen_ + kLongestSleep);
  }

 private:
  TimePoint seen_;
  Clock::duration stopped_{};
};

}  // namespace troupe::actors
