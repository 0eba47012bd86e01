// Shows how far the weights are: a bar on a terminal, a log line per ten percent elsewhere.
#pragma once
#include <chrono>
#include <mutex>
#include <optional>
#include <string>

#include "model/load_progress.hpp"
#include "services/runtime/log/logger.hpp"
#include "services/runtime/progress.hpp"

namespace troupe::services {

using LoadSnapshot = model::LoadProgress::Snapshot;

/// 0 to 1.
double loaded_share(const LoadSnapshot& now);
/// "loading, layer 31 of 61  412.3/642.1 GiB", or "reading the model" before the first layer.
std::string loading_text(const LoadSnapshot& now);
/// "loading layer 31/61": what stands in front of the figures of a Progress.
std::string loading_label(const LoadSnapshot& now);

/// *Threading*: any, but construction and destruction.
class Loading {
 public:
  Loading(Logger& log, bool terminal);

  void report(const LoadSnapshot& progress);
  LoadSnapshot progress() const;
  /// Draws or logs what has been reported since.
  void show();
  /// Shows the end and ends the bar.
  void finish();

 private:
  using Clock = std::chrono::steady_clock;
  void show_now();

  Logger& log_;
  mutable std::mutex mutex_;
  LoadSnapshot progress_;
  std::mutex showing_;                      // for what follows
  std::optional<Clock::time_point> began_;  // when the first layer was known
  std::optional<Progress> bar_;
  int tenths_logged_ = 0;
};

}  // namespace troupe::services
