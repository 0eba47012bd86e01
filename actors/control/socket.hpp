// A socket that is closed by whoever holds it last.
#pragma once
#include <unistd.h>

#include <utility>

namespace troupe::actors {

class Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(other.release()) {}
  Socket& operator=(Socket&& other) noexcept {
    if (this != &other) {
      close();
      fd_ = other.release();
    }
    return *this;
  }
  ~Socket() { close(); }

  int fd() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }

 private:
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  int fd_ = -1;
};

/// A machine that vanished, and a process that leaves data untaken because it is frozen, lose their
/// connection after a minute. False: the system refused, see errno.
bool bound_silence(const Socket& socket);

}  // namespace troupe::actors
