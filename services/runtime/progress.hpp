// Progress of long work: a bar on a terminal, one line per ten percent elsewhere.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace troupe::services {

enum class ProgressStyle { bar, lines, none };

/// A bar only when stderr is a terminal and NO_COLOR is not set; nothing with --no-progress.
ProgressStyle progress_style(bool no_progress);

enum class ProgressUnit { bytes, tokens, requests };

/// Shows on stderr how much is done: `LABEL  412.3/642.1 GiB  3.1 GiB/s  ETA 1m14s`.
/// *Threading*: one thread. Nothing is printed before `quiet_for` has passed.
class Progress {
 public:
  struct Settings {
    std::string label;  // "casting"
    ProgressStyle style = ProgressStyle::none;
    std::chrono::milliseconds quiet_for{0};
    ProgressUnit unit = ProgressUnit::bytes;
  };
  explicit Progress(Settings settings);
  Progress(const Progress&) = delete;
  /// Ends the bar's line if one was begun.
  ~Progress();

  void update(std::uint64_t done, std::uint64_t total);
  /// From the next update on: "loading layer 31/61".
  void relabel(std::string label) { settings_.label = std::move(label); }
  /// Takes the bar away, so that the line can be used for something else.
  void clear();

 private:
  using Clock = std::chrono::steady_clock;
  std::string line(std::uint64_t done, std::uint64_t total) const;
  void draw_bar(std::uint64_t done, std::uint64_t total);
  void print_tenth(std::uint64_t done, std::uint64_t total);

  Settings settings_;
  Clock::time_point started_;
  Clock::time_point drawn_;
  int tenths_printed_ = 0;
  bool bar_begun_ = false;
};

/// The line that Progress shows after `seconds` of work. Without a rate there is no ETA.
std::string progress_line(std::string_view label, ProgressUnit unit, std::uint64_t done,
                          std::uint64_t total, double seconds);

/// "412.3 MiB", "3.1 GiB": binary units, one decimal.
std::string human_bytes(std::uint64_t bytes);

}  // namespace troupe::services
