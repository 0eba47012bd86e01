// poll(2) on a bell that the engine rings, and on the client's socket.
#include "services/gateway/http/answer_group.hpp"

#include <poll.h>
#include <sys/eventfd.h>

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
    : answers_(state, limits), socket_(socket), bell_(std::make_shared<Bell>()) {}

AnswerGroup::~AnswerGroup() { cancel(); }

std::optional<ApiError> AnswerGroup::start(PlannedRequest plan) {
  if (bell_->fd() < 0) return from_engine({Errc::resource_exhausted, "no descriptors are left"});
  return answers_.start(std::move(plan), bell_);
}

std::optional<AnswerGroup::Event> AnswerGroup::next() {
  while (true) {
    if (auto event = answers_.take()) return event;
    if (answers_.ended()) return std::nullopt;
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
  answers_.cancel();
}

}  // namespace troupe::services::http
