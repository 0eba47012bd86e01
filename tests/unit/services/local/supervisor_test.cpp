// Restarts, hopeless services and the order of stopping, with shell scripts as services.
#include "services/local/supervisor.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

namespace troupe::services {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

ChildSpec shell(const std::string& name, const std::string& script) {
  return {name, {"-c", script}};
}

/// SIGTERM to this process as a descriptor.
struct Signals {
  Signals() {
    sigset_t stops;
    sigemptyset(&stops);
    sigaddset(&stops, SIGTERM);
    ::sigprocmask(SIG_BLOCK, &stops, nullptr);
    fd = ::signalfd(-1, &stops, SFD_CLOEXEC | SFD_NONBLOCK);
  }
  ~Signals() { ::close(fd); }
  int fd;
};

TEST(RestartDelays, DoubleWhileAServiceEndsYoungAndBeginAnewOnceItHasSettled) {
  RestartDelays delays;
  EXPECT_EQ(delays.next("a", seconds(0)), milliseconds(100));
  EXPECT_EQ(delays.next("a", seconds(1)), milliseconds(200));
  EXPECT_EQ(delays.next("b", seconds(1)), milliseconds(100));
  for (int i = 0; i < 10; ++i) delays.next("a", seconds(1));
  EXPECT_EQ(delays.next("a", seconds(1)), RestartDelays::kLast);
  EXPECT_EQ(delays.next("a", seconds(11)), RestartDelays::kFirst);
}

TEST(Supervisor, GivesUpWhenAServiceCannotStart) {
  Signals signals;
  Supervisor supervisor({shell("expert 0", "exec sleep 1000"), shell("expert 1", "exit 4")},
                        {[] { return false; }, [] {}, [](const std::string&) {}}, "/bin/sh");
  const auto end = supervisor.run(signals.fd, seconds(1));
  EXPECT_EQ(end.signal, 0);
  EXPECT_EQ(end.failed.name, "expert 1");
  EXPECT_EQ(end.code, 4);
}

TEST(Supervisor, StartsAgainWhatEndsAndStopsOnSigterm) {
  Signals signals;
  const auto file =
      std::filesystem::temp_directory_path() / ("supervisor_test." + std::to_string(::getpid()));
  // The third life of the service asks the supervisor to stop.
  const std::string script = "echo life >> " + file.string() + "; [ $(wc -l < " + file.string() +
                             ") -lt 3 ] && exit 1; kill -TERM " + std::to_string(::getpid()) +
                             "; exec sleep 1000";
  std::vector<std::string> said;
  int ready = 0;
  Supervisor supervisor({shell("router 0", script)},
                        {[] { return true; }, [&] { ++ready; },
                         [&](const std::string& line) { said.push_back(line); }},
                        "/bin/sh");
  const auto end = supervisor.run(signals.fd, seconds(1));
  EXPECT_EQ(end.signal, SIGTERM);
  EXPECT_EQ(ready, 1);
  ASSERT_EQ(said.size(), 2u);
  EXPECT_NE(said[0].find("router 0"), std::string::npos) << said[0];
  EXPECT_NE(said[0].find("exit code 1"), std::string::npos) << said[0];
  std::filesystem::remove(file);
}

TEST(Supervisor, StopsGatewaysBeforeTheOthers) {
  Signals signals;
  const auto file =
      std::filesystem::temp_directory_path() / ("supervisor_order." + std::to_string(::getpid()));
  const auto noting = [&](const std::string& name) {
    return "trap 'echo " + name + " >> " + file.string() +
           "; exit 0' TERM; while :; do sleep 0.05; done";
  };
  const auto stop = "kill -TERM " + std::to_string(::getpid()) + "; exec sleep 1000";
  Supervisor supervisor({shell("expert 0", noting("expert")), shell("gateway 0", noting("gateway")),
                         shell("router 0", "sleep 0.3; " + stop)},
                        {[] { return true; }, [] {}, [](const std::string&) {}}, "/bin/sh");
  EXPECT_EQ(supervisor.run(signals.fd, seconds(20)).signal, SIGTERM);
  std::ifstream lines(file);
  const std::vector<std::string> order{std::istream_iterator<std::string>(lines), {}};
  ASSERT_EQ(order.size(), 2u);
  EXPECT_EQ(order[0], "gateway");
  std::filesystem::remove(file);
}

}  // namespace
}  // namespace troupe::services
