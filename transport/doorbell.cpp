// The eventfd behind Doorbell, and the visits of a thread.
#include "transport/doorbell.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "core/check.hpp"

namespace troupe::transport {
namespace {

/// Where this thread knocked, in order.
struct Knocks {
  bool collecting = false;
  std::vector<Doorbell*> doors;
};
thread_local Knocks knocks;

}  // namespace

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

void Doorbell::knock() {
  if (!knocks.collecting || !open_.load(std::memory_order_relaxed)) return ring();
  auto& doors = knocks.doors;
  if (std::find(doors.begin(), doors.end(), this) == doors.end()) doors.push_back(this);
}

void Doorbell::open(Pass pass) {
  const std::lock_guard turn(turn_);
  pass_ = std::move(pass);
  open_ = true;
}

void Doorbell::close() {
  const std::lock_guard turn(turn_);
  pass_ = nullptr;
  open_ = false;
}

std::unique_lock<std::mutex> Doorbell::take_turn() {
  std::unique_lock turn(turn_);
  wanted_ = false;
  return turn;
}

/// `wanted_` is set before the turn is tried for, and looked at after it was released: one of the
/// two threads sees the other.
void Doorbell::visit() {
  wanted_ = true;
  while (wanted_) {
    const std::unique_lock turn(turn_, std::try_to_lock);
    if (!turn) return;
    wanted_ = false;
    if (!pass_ || !pass_()) return ring();
  }
}

Visits::Visits(bool made) : outermost_(made && !knocks.collecting) {
  if (outermost_) knocks.collecting = true;
}

Visits::~Visits() {
  if (!outermost_) return;
  auto& doors = knocks.doors;
  for (std::size_t at = 0; at < doors.size() && at < kMax; ++at) {
    Doorbell* const door = std::exchange(doors[at], nullptr);  // may be knocked at again
    door->visit();
  }
  knocks.collecting = false;
  for (Doorbell* const door : doors)
    if (door != nullptr) door->ring();
  doors.clear();
}

}  // namespace troupe::transport
