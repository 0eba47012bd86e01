// A TCP socket that listens, and one that has been accepted: owned descriptors.
#pragma once
#include <utility>
#include <vector>

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
  /// It is the caller's now.
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

/// Non-blocking and closed on exec. The port must be nobody else's: SO_REUSEPORT is off.
/// *Errors*: `unavailable` with the address and the system's reason.
Expected<Descriptor> listen_on(const Address& address);

/// The same, on every address that the host's name has, and on IPv4 and IPv6 for a wildcard of
/// either; port 0: any free one, the same for all. At least one socket: an address that is not to
/// be had is left out while another one is.
Expected<std::vector<Descriptor>> listen_on_all(const Address& address);

/// Keeps what listen_on_all() would listen on for a listener that comes later, of this process or
/// another: bound, not listened on. Who takes any free port gets another one meanwhile; who names
/// this port and sets SO_REUSEADDR, as all here, gets it.
Expected<std::vector<Descriptor>> hold_for_listener(const Address& address);

/// The port a socket is bound to; 0 if it is not.
std::uint16_t port_of(const Descriptor& socket);

/// Who is at the other end, IPv4 written as such; host "?" if nobody is.
Address peer_of(const Descriptor& socket);

struct Accepted {
  Descriptor socket;  // non-blocking and closed on exec; -1: errno says why
  Address peer;       // of IPv4 as such, whatever the port listens on
};
Accepted accept_on(const Descriptor& listener);

/// Before a socket is closed: says that nothing more comes, and reads some of what is there, since
/// closing over unread bytes would take back what was sent last. Does not wait.
void say_goodbye(const Descriptor& socket);

}  // namespace troupe::services
