// fork, exec, pidfds and signals.
#include "services/local/child_processes.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace troupe::services {
namespace {

using Clock = std::chrono::steady_clock;

auto no_more(const char* what) {
  return unexpected(Errc::resource_exhausted,
                    std::string("cannot make ") + what + ": " + std::strerror(errno) +
                        "; raise the limits on processes and open files (ulimit -a)");
}

/// In the child, between fork and exec: only what is safe there.
[[noreturn]] void become(const char* program, char* const* arguments, pid_t parent) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(137);  // it died before the line above
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::execv(program, arguments);
  ::_exit(127);
}

int exit_code(int status) {
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

std::string how_it_ended(const ChildExit& exit) {
  const bool killed = exit.code >= 128;
  return (killed ? "signal " : "exit code ") + std::to_string(killed ? exit.code - 128 : exit.code);
}

ChildProcesses::~ChildProcesses() { stop(std::chrono::milliseconds(0)); }

Expected<pid_t> ChildProcesses::start(ChildSpec spec) {
  std::vector<char*> arguments{const_cast<char*>("troupe")};
  for (auto& argument : spec.arguments) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return no_more("a process");
  if (pid == 0) become(program_.c_str(), arguments.data(), parent);
  const int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  children_[pid] = {std::move(spec), pidfd, Clock::now()};
  return pid;
}

std::vector<ChildExit> ChildProcesses::wait(std::chrono::milliseconds bound, int wake_fd) {
  std::vector<pollfd> fds;
  for (const auto& [pid, child] : children_) fds.push_back({child.pidfd, POLLIN, 0});
  fds.push_back({wake_fd, POLLIN, 0});  // a negative descriptor is passed over
  ::poll(fds.data(), fds.size(), static_cast<int>(bound.count()));
  std::vector<ChildExit> ended;
  for (auto it = children_.begin(); it != children_.end();) {
    int status = 0;
    if (::waitpid(it->first, &status, WNOHANG) != it->first) {
      ++it;
      continue;
    }
    ::close(it->second.pidfd);
    ended.push_back({std::move(it->second.spec), it->first, exit_code(status),
                     Clock::now() - it->second.started});
    it = children_.erase(it);
  }
  return ended;
}

std::size_t ChildProcesses::running(std::string_view prefix) const {
  const auto begins = [&](const auto& child) { return child.second.spec.name.starts_with(prefix); };
  return static_cast<std::size_t>(std::count_if(children_.begin(), children_.end(), begins));
}

void ChildProcesses::signal_all(int signal, std::string_view prefix) const {
  for (const auto& [pid, child] : children_)
    if (child.spec.name.starts_with(prefix)) ::kill(pid, signal);
}

void ChildProcesses::stop(std::chrono::milliseconds grace, std::string_view prefix) {
  const auto deadline = Clock::now() + grace;
  if (grace.count() > 0) signal_all(SIGTERM, prefix);
  signal_all(SIGCONT, prefix);  // a stopped one would never see it
  while (running(prefix) > 0 && Clock::now() < deadline) wait(std::chrono::milliseconds(50));
  signal_all(SIGKILL, prefix);
  while (running(prefix) > 0) wait(std::chrono::milliseconds(50));
}

Expected<std::string> inherited_file(const std::string& text) {
  const int fd = ::memfd_create("troupe", 0);
  if (fd < 0) return no_more("a file in memory");
  if (::write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    return no_more("a file in memory");
  return "/proc/self/fd/" + std::to_string(fd);
}

}  // namespace troupe::services
