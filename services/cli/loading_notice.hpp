// Says on stderr that weights are being loaded, if that takes more than a second.
#pragma once
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

namespace troupe::services {

/// Prints "loading WHAT ..." once if it still lives after a second; silent otherwise.
class LoadingNotice {
 public:
  explicit LoadingNotice(std::string what);
  LoadingNotice(const LoadingNotice&) = delete;
  ~LoadingNotice();

 private:
  std::mutex mutex_;
  std::condition_variable ended_changed_;
  bool ended_ = false;
  std::thread watcher_;
};

}  // namespace troupe::services
