// signalfd, so that no handler runs and nothing is interrupted.
#include "services/process/stop_signals.hpp"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>

namespace troupe::services {
namespace {

sigset_t stop_set() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  return set;
}

}  // namespace

StopSignals::StopSignals() {
  const sigset_t set = stop_set();
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signals_ = Descriptor(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  wakes_ = Descriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

StopSignals::~StopSignals() {
  const sigset_t set = stop_set();
  ::pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

int StopSignals::wait(std::chrono::milliseconds bound) {
  std::array<pollfd, 2> wanted{{{signals_.get(), POLLIN, 0}, {wakes_.get(), POLLIN, 0}}};
  ::poll(wanted.data(), wanted.size(), static_cast<int>(bound.count()));
  eventfd_t ignored = 0;
  if ((wanted[1].revents & POLLIN) != 0) ::eventfd_read(wakes_.get(), &ignored);
  signalfd_siginfo info{};
  if (::read(signals_.get(), &info, sizeof(info)) != sizeof(info)) return 0;
  return static_cast<int>(info.ssi_signo);
}

void StopSignals::wake() const { ::eventfd_write(wakes_.get(), 1); }

bool end_with_parent() {
  const pid_t parent = ::getppid();
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  return ::getppid() == parent && parent != 1;
}

}  // namespace troupe::services
