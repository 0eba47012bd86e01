// A TCP socket that listens, and one that has been accepted: owned descriptors.
#pragma once
#include <utility>

#include "core/expected.hpp"
#include "services/runtime/config/service_config.hpp"

namespace troupe::services {

/// Closes its descriptor.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor();
  int get() const { return fd_; }

 private:
  int fd_;
};

/// Non-blocking and closed on exec. The port must be nobody else's: SO_REUSEPORT is off.
/// *Errors*: `unavailable` with the address and the system's reason.
Expected<Descriptor> listen_on(const Address& address);

/// The port a socket is bound to; 0 if it is not.
std::uint16_t port_of(const Descriptor& socket);

}  // namespace troupe::services
