// What a target does before libFuzzer's main takes over: writes its seeds, bounds its CPU time.
//
//   fuzz_NAME --write-seeds=DIR            a file per seed, and the end
//   fuzz_NAME --cpu-seconds=N [...]        libFuzzer ends by itself after so much of its own time
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>

#include "tests/fuzz/fuzz_target.hpp"

namespace {

std::optional<std::string> value_of(std::string_view argument, std::string_view name) {
  if (!argument.starts_with(name)) return std::nullopt;
  return std::string(argument.substr(name.size()));
}

[[noreturn]] void write_seeds(const std::string& folder) {
  int number = 0;
  for (const std::string& seed : fuzz_seeds()) {
    const std::string path = folder + "/seed-" + std::to_string(number++);
    std::ofstream file(path, std::ios::binary);
    file << seed;
    if (file.flush()) continue;
    std::fprintf(stderr, "fuzz: cannot write %s\n", path.c_str());
    std::exit(2);
  }
  std::exit(number == 0 ? 2 : 0);
}

/// A wall clock would give a target on a busy machine next to nothing. SIGUSR1 asks libFuzzer to
/// end after the input at hand, as -max_total_time does.
void bound_cpu_time(const std::string& seconds) {
  sigevent event{};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGUSR1;
  timer_t timer{};
  itimerspec bound{};
  bound.it_value.tv_sec = std::strtol(seconds.c_str(), nullptr, 10);
  if (bound.it_value.tv_sec > 0 && timer_create(CLOCK_PROCESS_CPUTIME_ID, &event, &timer) == 0 &&
      timer_settime(timer, 0, &bound, nullptr) == 0)
    return;
  std::fprintf(stderr, "fuzz: --cpu-seconds=%s cannot be kept\n", seconds.c_str());
  std::exit(2);
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  for (int i = 1; i < *argc; ++i) {
    const std::string_view argument = (*argv)[i];
    if (const auto folder = value_of(argument, "--write-seeds=")) write_seeds(*folder);
    if (const auto seconds = value_of(argument, "--cpu-seconds=")) bound_cpu_time(*seconds);
  }
  return 0;
}
