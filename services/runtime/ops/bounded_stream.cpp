// poll before every recv and send.
#include "services/runtime/ops/bounded_stream.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace troupe::services {

bool BoundedStream::wait(short events) const {
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        limits_.deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return false;
    pollfd wanted{socket_, events, 0};
    const int ready = ::poll(&wanted, 1, static_cast<int>(left.count()));
    if (ready > 0) return true;
    if (ready == 0 || errno != EINTR) return false;
  }
}

bool BoundedStream::fill() {
  const std::size_t room = std::min(buffer_.size(), limits_.read_bytes_max - read_bytes_);
  while (room > 0 && wait(POLLIN)) {
    const ssize_t got = ::recv(socket_, buffer_.data(), room, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (got <= 0) return false;
    begin_ = 0;
    end_ = static_cast<std::size_t>(got);
    read_bytes_ += end_;
    return true;
  }
  return false;
}

ssize_t BoundedStream::read(char* to, size_t bytes) {
  if (begin_ == end_ && !fill()) return -1;
  const std::size_t taken = std::min(bytes, end_ - begin_);
  std::copy_n(buffer_.data() + begin_, taken, to);
  begin_ += taken;
  return static_cast<ssize_t>(taken);
}

ssize_t BoundedStream::write(const char* from, size_t bytes) {
  while (wait(POLLOUT)) {
    const ssize_t sent = ::send(socket_, from, bytes, MSG_NOSIGNAL);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    return sent;
  }
  return -1;
}

}  // namespace troupe::services
