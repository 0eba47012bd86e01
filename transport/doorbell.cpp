// The eventfd behind Doorbell.
#include "transport/doorbell.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>

#include "core/check.hpp"

namespace troupe::transport {

Doorbell::Doorbell() : fd_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  TROUPE_CHECK(fd_ >= 0, std::string("eventfd: ") + std::strerror(errno));
}

Doorbell::~Doorbell() { ::close(fd_); }

void Doorbell::ring() {
  const std::uint64_t one = 1;
  // Fails only when the counter is full: it rings already.
  [[maybe_unused]] const auto written = ::write(fd_, &one, sizeof one);
}

bool Doorbell::silence() {
  std::uint64_t rings = 0;
  return ::read(fd_, &rings, sizeof rings) == sizeof rings;
}

}  // namespace troupe::transport
