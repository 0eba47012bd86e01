// Shows how far the weights are: a bar on a terminal, a log line per ten percent elsewhere.
#pragma once
#include <mutex>
#include <optional>
#include <string>

#include "actors/node/cluster_node.hpp"
#include "services/runtime/log/logger.hpp"
#include "services/runtime/progress.hpp"

namespace troupe::services {

/// *Threading*: `report` and the readers from any thread; `show` and destruction from the one that
/// owns it.
class Loading {
 public:
  Loading(Logger& log, bool terminal);

  void report(const actors::LoadProgress& progress);
  actors::LoadProgress progress() const;
  /// Draws or logs what has been reported since.
  void show();
  /// "layer 31 of 61", or "reading the model" before the first layer.
  std::string text() const;
  /// 0 to 1.
  double share() const;
  /// Ends the bar.
  void finish() { bar_.reset(); }

 private:
  Logger& log_;
  mutable std::mutex mutex_;
  actors::LoadProgress progress_;
  std::optional<Progress> bar_;
  int tenths_logged_ = 0;
};

}  // namespace troupe::services
