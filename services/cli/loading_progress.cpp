// A thread that looks at the counters and at the interrupt flag until the weights are there.
#include "services/cli/loading_progress.hpp"

#include <unistd.h>

#include <chrono>
#include <utility>

#include "services/process/loading.hpp"
#include "services/runtime/faults.hpp"
#include "services/runtime/interrupts.hpp"

namespace troupe::services {
namespace {

constexpr std::chrono::milliseconds kLookEvery{50};
constexpr std::chrono::seconds kQuietFor{1};

}  // namespace

LoadingProgress::LoadingProgress(ProgressStyle style, std::shared_ptr<model::LoadProgress> counters)
    : counters_(std::move(counters)), watcher_([this, style] { watch(style); }) {}

LoadingProgress::~LoadingProgress() {
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  ended_changed_.notify_one();
  watcher_.join();
}

void LoadingProgress::watch(ProgressStyle style) {
  Progress shown({"loading", style, kQuietFor});
  std::unique_lock lock(mutex_);
  for (bool ended = false; !ended;) {
    ended = ended_changed_.wait_for(lock, kLookEvery, [this] { return ended_; });
    if (interrupted()) {
      shown.clear();
      ::_exit(static_cast<int>(ExitCode::interrupt));
    }
    const auto now = counters_->snapshot();
    if (now.bytes_total == 0) continue;
    shown.relabel(loading_label(now));
    shown.update(now.bytes_done, now.bytes_total);
  }
  shown.clear();
}

}  // namespace troupe::services
