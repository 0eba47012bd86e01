// Steps that many threads ask for and one at a time makes, without anybody waiting.
#pragma once
#include <atomic>
#include <cstddef>

namespace troupe::services {

/// *Threading*: any; also from within a step, which is then followed by another one.
class OneAtATime {
 public:
  /// Makes `step`, or leaves it to whoever makes one now. After the last call a step begins and
  /// sees all that was done before that call. All callers must give the same `step`.
  template <class Step>
  void run(const Step& step) {
    if (asked_.fetch_add(1) > 0) return;
    std::size_t seen = 0;
    do {
      seen = asked_.load();
      step();
    } while (asked_.fetch_sub(seen) != seen);
  }

 private:
  std::atomic<std::size_t> asked_{0};
};

}  // namespace troupe::services
