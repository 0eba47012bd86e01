// recv and send until they would block.
#include "services/runtime/ops/ops_connection.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

namespace troupe::services {
namespace {

constexpr std::size_t kRequestBytesMax = 16 << 10;

bool would_block() { return errno == EAGAIN || errno == EWOULDBLOCK; }

}  // namespace

short OpsConnection::wanted() const {
  if (collecting) return 0;
  return out_.empty() ? POLLIN : POLLOUT;
}

bool OpsConnection::read() {
  std::array<char, 4096> part{};
  while (in_.size() < kRequestBytesMax) {
    const ssize_t got = ::recv(fd(), part.data(), part.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && would_block()) return false;
    if (got <= 0) {
      end();
      return false;
    }
    in_.append(part.data(), static_cast<std::size_t>(got));
    if (is_complete(in_)) return true;
  }
  too_long_ = true;  // whatever it is, it is refused
  return true;
}

void OpsConnection::answer(const HttpAnswer& answer, bool with_body) {
  out_ = to_bytes(answer, with_body);
  write();
}

void OpsConnection::write() {
  while (sent_ < out_.size()) {
    const ssize_t sent = ::send(fd(), out_.data() + sent_, out_.size() - sent_, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && would_block()) return;
    if (sent < 0) break;
    sent_ += static_cast<std::size_t>(sent);
  }
  end();
}

void OpsConnection::end() {
  say_goodbye(socket_);
  ended_ = true;
}

}  // namespace troupe::services
