// A line at the bottom of the terminal that stands still while text scrolls above it.
#pragma once
#include <chrono>
#include <string_view>

namespace troupe::services {

/// Takes the terminal's last row from the text by a scroll region, and gives it back at the end.
/// *Threading*: one thread.
class LiveLine {
 public:
  /// Not `wanted`: shows nothing.
  explicit LiveLine(bool wanted) : wanted_(wanted) {}
  LiveLine(const LiveLine&) = delete;
  ~LiveLine() { end(); }

  /// Shows `words`, at most a few times a second; the rest is left out.
  void show(std::string_view words);
  void end();

 private:
  using Clock = std::chrono::steady_clock;
  void begin(int rows);

  bool wanted_;
  int rows_ = 0;  // of the terminal, while a row is taken
  Clock::time_point shown_{};
};

}  // namespace troupe::services
