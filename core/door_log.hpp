// How often what strangers do at a port is told: they must not be able to fill the log.
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace troupe {

struct DoorLogLimits {
  // Enough to see each mistake of a service that is set up, then a sign that it goes on.
  double lines_at_once = 5;                      // of one address
  std::chrono::milliseconds line_every{60'000};  // of one address, after that
  double all_at_once = 50;                       // of all addresses together
  std::chrono::milliseconds all_every{1'000};    // likewise
  std::size_t addresses_max = 1024;              // that are remembered
};

/// *Threading*: one owner.
class DoorLog {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  explicit DoorLog(DoorLogLimits limits = {}) : limits_(limits), all_{limits.all_at_once, {}} {}

  /// Whether a line about `address` may be written now, and how many were left out since the last
  /// one that was. Nothing: leave it out.
  std::optional<std::uint64_t> admit(const std::string& address, TimePoint now);

 private:
  struct Bucket {
    double lines = 0;
    TimePoint at;
    /// Adds the lines that the time since `at` allows.
    void fill(double most, std::chrono::milliseconds every, TimePoint now);
  };

  DoorLogLimits limits_;
  Bucket all_;
  std::map<std::string, Bucket> by_address_;
  std::uint64_t left_out_ = 0;
};

}  // namespace troupe
