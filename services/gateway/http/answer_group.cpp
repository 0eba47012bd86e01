// poll(2) on a bell that the engine rings, and on the client's socket.
#include "services/gateway/http/answer_group.hpp"

#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>

namespace troupe::services::http {

class AnswerGroup::Bell final : public AnswerReader {
 public:
  void on_events() override { ::eventfd_write(fd_.get(), 1); }
  int fd() const { return fd_.get(); }
  void silence() {
    eventfd_t ignored = 0;
    ::eventfd_read(fd_.get(), &ignored);
  }

 private:
  Descriptor fd_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
};

AnswerGroup::AnswerGroup(GatewayState& state, AnswerStream::Limits limits, int socket)
    : state_(state), limits_(limits), socket_(socket), bell_(std::make_shared<Bell>()) {}

AnswerGroup::~AnswerGroup() { cancel(); }

std::optional<ApiError> AnswerGroup::start(PlannedRequest plan) {
  if (bell_->fd() < 0) return from_engine({Errc::resource_exhausted, "no descriptors are left"});
  auto stream = std::make_shared<AnswerStream>(state_.engine, limits_);
  state_.answers.add(stream);
  if (auto error = AnswerStream::start(stream, std::move(plan), bell_)) return error;
  streams_.push_back(std::move(stream));
  ended_.push_back(false);
  return std::nullopt;
}

std::optional<AnswerGroup::Event> AnswerGroup::next() {
  while (true) {
    bool all_ended = true;
    for (std::size_t i = 0; i < streams_.size(); ++i) {
      const std::size_t at = (turn_ + i) % streams_.size();
      if (ended_[at]) continue;
      all_ended = false;
      auto event = streams_[at]->take();
      if (!event) continue;
      ended_[at] = std::holds_alternative<AnswerEnd>(*event);
      turn_ = at + 1;
      return Event{at, *std::move(event)};
    }
    if (all_ended) return std::nullopt;
    wait();
  }
}

void AnswerGroup::wait() {
  std::array<pollfd, 2> wanted{{{bell_->fd(), POLLIN, 0}, {socket_, POLLRDHUP, 0}}};
  const bool watched = socket_ >= 0 && !cancelled_;
  if (::poll(wanted.data(), watched ? 2 : 1, -1) < 0) return;  // EINTR
  if ((wanted[0].revents & POLLIN) != 0) bell_->silence();
  if (watched && wanted[1].revents != 0) cancel();
}

void AnswerGroup::cancel() {
  cancelled_ = true;
  for (std::size_t i = 0; i < streams_.size(); ++i) {
    if (!ended_[i]) streams_[i]->cancel();
  }
}

std::chrono::nanoseconds AnswerGroup::waited() const {
  std::chrono::nanoseconds most{};
  for (const auto& stream : streams_) most = std::max(most, stream->waited());
  return most;
}

std::int64_t AnswerGroup::replay_mismatches() const {
  std::int64_t sum = 0;
  for (const auto& stream : streams_) sum += stream->replay_mismatches();
  return sum;
}

}  // namespace troupe::services::http
