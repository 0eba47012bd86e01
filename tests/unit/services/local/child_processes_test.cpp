// Children that end, are stopped, ignore signals, or lose their parent.
#include "services/local/child_processes.hpp"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

namespace troupe::services {
namespace {

using std::chrono::milliseconds;
constexpr std::chrono::seconds kDeadline{30};

ChildSpec shell(const std::string& name, const std::string& script) {
  return {name, {"-c", script}};
}

/// The exits until `count` children have ended.
std::vector<ChildExit> all_exits(ChildProcesses& children, std::size_t count) {
  std::vector<ChildExit> exits;
  const auto deadline = std::chrono::steady_clock::now() + kDeadline;
  while (exits.size() < count && std::chrono::steady_clock::now() < deadline)
    for (auto& exit : children.wait(milliseconds(1000))) exits.push_back(std::move(exit));
  return exits;
}

TEST(ChildProcesses, TellsWhoEndedAndHow) {
  ChildProcesses children("/bin/sh");
  ASSERT_TRUE(children.start(shell("three", "exit 3")));
  ASSERT_TRUE(children.start(shell("killed", "kill -9 $$")));
  EXPECT_EQ(children.running(), 2u);
  auto exits = all_exits(children, 2);
  ASSERT_EQ(exits.size(), 2u);
  if (exits[0].spec.name != "three") std::swap(exits[0], exits[1]);
  EXPECT_EQ(exits[0].code, 3);
  EXPECT_EQ(exits[1].code, 128 + SIGKILL);
  EXPECT_EQ(children.running(), 0u);
}

TEST(ChildProcesses, AProgramThatIsNotThereEndsWith127) {
  ChildProcesses children("/no/such/program");
  ASSERT_TRUE(children.start({"nobody", {}}));
  const auto exits = all_exits(children, 1);
  ASSERT_EQ(exits.size(), 1u);
  EXPECT_EQ(exits[0].code, 127);
}

TEST(ChildProcesses, StopsThoseThatIgnoreSigtermAndThoseThatAreStopped) {
  ChildProcesses children("/bin/sh");
  ASSERT_TRUE(children.start(shell("deaf 0", "trap '' TERM; while :; do sleep 1; done")));
  const auto frozen = children.start(shell("frozen 0", "exec sleep 1000"));
  ASSERT_TRUE(frozen);
  ::kill(*frozen, SIGSTOP);
  children.stop(milliseconds(200), "deaf");
  EXPECT_EQ(children.running("deaf"), 0u);
  EXPECT_EQ(children.running("frozen"), 1u);
  children.stop(milliseconds(5000));
  EXPECT_EQ(children.running(), 0u);
}

TEST(ChildProcesses, AChildReadsWhatItsParentLeftInMemory) {
  const auto file = inherited_file("a token\n");
  ASSERT_TRUE(file);
  ChildProcesses children("/bin/sh");
  ASSERT_TRUE(
      children.start(shell("reader", "read -r line < " + *file + "; [ \"$line\" = 'a token' ]")));
  const auto exits = all_exits(children, 1);
  ASSERT_EQ(exits.size(), 1u);
  EXPECT_EQ(exits[0].code, 0);
}

TEST(ChildProcesses, NoneOutlivesAParentThatIsKilled) {
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  const pid_t parent = ::fork();
  if (parent == 0) {
    ChildProcesses children("/bin/sh");
    // Holds the pipe's writing end for as long as it lives. By its path: of the shell's own
    // redirections a descriptor has one digit.
    const std::string end = "/proc/self/fd/" + std::to_string(pipe[1]);
    (void)children.start(shell("orphan", "echo up >" + end + "; exec sleep 1000"));
    ::pause();
  }
  ::close(pipe[1]);
  char up[3];
  ASSERT_EQ(::read(pipe[0], up, 3), 3);
  ::kill(parent, SIGKILL);
  ASSERT_EQ(::waitpid(parent, nullptr, 0), parent);
  pollfd end{pipe[0], POLLIN, 0};
  const auto bound = std::chrono::duration_cast<milliseconds>(kDeadline).count();
  ASSERT_EQ(::poll(&end, 1, static_cast<int>(bound)), 1) << "the child still holds the pipe";
  EXPECT_EQ(::read(pipe[0], up, 1), 0);
  ::close(pipe[0]);
}

}  // namespace
}  // namespace troupe::services
