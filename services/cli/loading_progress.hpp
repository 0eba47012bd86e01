// Shows on stderr how far the weights are loaded, and lets Ctrl-C end the program meanwhile.
#pragma once
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include "model/load_progress.hpp"
#include "services/runtime/progress.hpp"

namespace troupe::services {

/// While it lives, a thread shows `loading layer 31/61  412.3/642.1 GiB  3.1 GiB/s  ETA 1m14s`,
/// from the first second on, and ends the process with 130 when SIGINT has come: nothing is open
/// yet that would have to be closed.
class LoadingProgress {
 public:
  /// `counters`: filled by whoever loads.
  LoadingProgress(ProgressStyle style, std::shared_ptr<model::LoadProgress> counters);
  LoadingProgress(const LoadingProgress&) = delete;
  ~LoadingProgress();

 private:
  void watch(ProgressStyle style);

  std::shared_ptr<model::LoadProgress> counters_;
  std::mutex mutex_;
  std::condition_variable ended_changed_;
  bool ended_ = false;
  std::thread watcher_;
};

}  // namespace troupe::services
