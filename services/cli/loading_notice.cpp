// A thread that waits for a second or for the end, whichever comes first.
#include "services/cli/loading_notice.hpp"

#include <chrono>
#include <cstdio>

namespace troupe::services {

LoadingNotice::LoadingNotice(std::string what)
    : watcher_([this, what = std::move(what)] {
        std::unique_lock lock(mutex_);
        if (ended_changed_.wait_for(lock, std::chrono::seconds(1), [this] { return ended_; }))
          return;
        std::fprintf(stderr, "loading %s ...\n", what.c_str());
      }) {}

LoadingNotice::~LoadingNotice() {
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  ended_changed_.notify_one();
  watcher_.join();
}

}  // namespace troupe::services
