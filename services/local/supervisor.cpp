// Starting, watching, restarting, stopping.
#include "services/local/supervisor.hpp"

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>

namespace troupe::services {
namespace {

constexpr std::chrono::milliseconds kProbePeriod{50};
constexpr std::chrono::milliseconds kIdlePeriod{60'000};
/// Exit codes that starting again cannot mend: flags, configuration, model, a port in use, machine.
constexpr int kHopeless[] = {2, 3, 4, 5, 6};

int read_signal(int signal_fd) {
  signalfd_siginfo info{};
  const bool came = ::read(signal_fd, &info, sizeof info) == sizeof info;
  return came ? static_cast<int>(info.ssi_signo) : 0;
}

}  // namespace

std::chrono::milliseconds RestartDelays::next(const std::string& name,
                                              std::chrono::steady_clock::duration lived) {
  auto& delay = delays_[name];
  delay = lived >= kSettled || delay.count() == 0 ? kFirst : std::min(delay * 2, kLast);
  return delay;
}

std::optional<SupervisorEnd> Supervisor::start_due() {
  for (auto it = due_.begin(); it != due_.end();) {
    if (it->first > Clock::now()) {
      ++it;
      continue;
    }
    const auto started = children_.start(it->second);
    if (!started) {
      hooks_.say(it->second.name + ": " + started.error().detail);
      return SupervisorEnd{0, it->second, 6};
    }
    it = due_.erase(it);
  }
  return std::nullopt;
}

std::optional<SupervisorEnd> Supervisor::look_after(const ChildExit& ended) {
  const bool hopeless =
      std::find(std::begin(kHopeless), std::end(kHopeless), ended.code) != std::end(kHopeless);
  if (hopeless && !was_ready_) return SupervisorEnd{0, ended.spec, ended.code};
  const auto delay = delays_.next(ended.spec.name, ended.lived);
  hooks_.say(ended.spec.name + " (pid " + std::to_string(ended.pid) + ") ended with " +
             how_it_ended(ended) + "; it is started again in " + std::to_string(delay.count()) +
             " ms");
  due_.emplace_back(Clock::now() + delay, ended.spec);
  return std::nullopt;
}

std::chrono::milliseconds Supervisor::until_next() const {
  auto bound = was_ready_ ? kIdlePeriod : kProbePeriod;
  for (const auto& [when, spec] : due_)
    bound = std::min(bound, std::chrono::ceil<std::chrono::milliseconds>(when - Clock::now()));
  return std::max(bound, std::chrono::milliseconds(0));
}

void Supervisor::stop(int signal_fd, std::chrono::milliseconds drain) {
  // Gateways first: they let their open requests end while everybody else is still there.
  const auto deadline = Clock::now() + drain;
  children_.signal_all(SIGTERM, "gateway");
  children_.signal_all(SIGCONT, "gateway");  // a stopped one would not see it
  const auto gateways = [&] { return children_.running("gateway") > 0; };
  while (gateways() && Clock::now() < deadline) {
    children_.wait(std::chrono::milliseconds(100), signal_fd);
    if (read_signal(signal_fd) != 0) return children_.stop(std::chrono::milliseconds(0));
  }
  children_.stop(std::chrono::seconds(5));
}

SupervisorEnd Supervisor::run(int signal_fd, std::chrono::milliseconds drain) {
  for (const auto& spec : services_) due_.emplace_back(Clock::time_point{}, spec);
  std::optional<SupervisorEnd> end;
  while (!(end = start_due())) {
    for (const auto& ended : children_.wait(until_next(), signal_fd))
      if (!end) end = look_after(ended);
    if (end) break;
    if (const int signal = read_signal(signal_fd); signal != 0) {
      end = SupervisorEnd{signal, {}, 0};
      break;
    }
    if (!was_ready_ && hooks_.ready()) {
      was_ready_ = true;
      hooks_.on_ready();
    }
  }
  stop(signal_fd, end->signal == 0 ? std::chrono::milliseconds(0) : drain);
  return *end;
}

}  // namespace troupe::services
