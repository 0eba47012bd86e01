// The calls and the answers under way.
#include "services/gateway/gateway_state.hpp"

namespace troupe::services {

void OpenCalls::enter(std::string_view api) {
  const std::lock_guard lock(mutex_);
  ++open_[api];
}

void OpenCalls::leave(std::string_view api) {
  const std::lock_guard lock(mutex_);
  --open_[api];
}

std::int64_t OpenCalls::total() const {
  std::int64_t all = 0;
  for (const auto& [api, open] : counts()) all += open;
  return all;
}

OpenCalls::Counts OpenCalls::counts() const {
  const std::lock_guard lock(mutex_);
  return open_;
}

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

Answered<GatewayState::Entry> GatewayState::enter(const std::string& key_name,
                                                  const GivenIdempotencyKey& given) {
  if (auto refused = refuse_now()) return *std::move(refused);
  auto held = idempotency_keys.hold(key_name, given);
  if (auto* refused = std::get_if<ApiError>(&held)) return std::move(*refused);
  auto place = admission.enter();
  if (auto* full = std::get_if<ApiError>(&place)) return std::move(*full);
  return Entry{std::get<IdempotencyKeys::Hold>(std::move(held)),
               std::get<Admission::Place>(std::move(place))};
}

}  // namespace troupe::services
