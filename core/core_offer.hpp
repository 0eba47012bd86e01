// Giving the core away between two looks of a spin, as long as it comes back soon.
#pragma once
#include <chrono>

namespace troupe {

/// Whether a thread should offer its core, by how long it was gone when it did. *Threading*: one.
class CoreOffers {
 public:
  using Clock = std::chrono::steady_clock;
  /// Longer than threads of this program compute between two waits, shorter than a time slice.
  static constexpr std::chrono::milliseconds kLong{1};
  /// So long a busy machine is taken to stay one.
  static constexpr std::chrono::milliseconds kPause{100};

  bool due(Clock::time_point now) const { return now >= not_before_; }
  void made(Clock::time_point begin, Clock::time_point end) {
    if (end - begin >= kLong) not_before_ = end + kPause;
  }

 private:
  Clock::time_point not_before_{};
};

/// Lets another thread have this core for a moment: whoever is waited for may be queued on it.
///
/// False: not done, and the caller sleeps instead of looking again. A thread that yields to a busy
/// one of another program waits for that one's whole time slice, 3 ms or more; one that slept and
/// is woken has the core at once. So for a while after an offer that took long there is none.
/// *Threading*: any; what is remembered is the thread's own.
[[nodiscard]] bool offer_core();

}  // namespace troupe
