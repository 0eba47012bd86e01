// The list of answers under way.
#include "services/gateway/gateway_state.hpp"

namespace troupe::services {

void OpenAnswers::add(const std::shared_ptr<AnswerStream>& stream) {
  bool aborted = false;
  {
    const std::lock_guard lock(mutex_);
    if (streams_.size() >= sweep_at_) {
      std::erase_if(streams_, [](const auto& one) { return one.expired(); });
      sweep_at_ = 2 * streams_.size() + 64;
    }
    streams_.push_back(stream);
    aborted = aborted_;
  }
  if (aborted) stream->abort(draining());
}

void OpenAnswers::abort_all() {
  std::vector<std::weak_ptr<AnswerStream>> streams;
  {
    const std::lock_guard lock(mutex_);
    aborted_ = true;
    streams = streams_;
  }
  for (const auto& one : streams) {
    if (const auto stream = one.lock()) stream->abort(draining());
  }
}

}  // namespace troupe::services
