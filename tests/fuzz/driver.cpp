// Runs a fuzz target on a fixed number of mutated inputs; the same seed gives the same inputs
// everywhere.
//
//   fuzz_NAME [--inputs N] [--seed S] [--first I]     N inputs, numbered from I
//   fuzz_NAME --file PATH                             one input from a file
//
// Input i depends on (seed, i) only, so a failure is repeated by `--seed S --first I --inputs 1`.
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "tests/fuzz/fuzz_target.hpp"

extern "C" __attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)());

namespace {

constexpr std::size_t kInputBytesMax = 65536;

std::uint64_t g_seed = 1;
std::uint64_t g_index = 0;

/// SplitMix64: a counter-based generator, equal on every machine.
class Random {
 public:
  Random(std::uint64_t seed, std::uint64_t index) : state_(seed * 0x9e3779b97f4a7c15u ^ index) {}
  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  std::size_t below(std::size_t bound) { return bound == 0 ? 0 : next() % bound; }

 private:
  std::uint64_t state_;
};

void say_where() {
  char line[160];
  const int bytes = std::snprintf(
      line, sizeof line,
      "fuzz: failed at input %llu; repeat with --seed %llu --first %llu "
      "--inputs 1\n",
      static_cast<unsigned long long>(g_index), static_cast<unsigned long long>(g_seed),
      static_cast<unsigned long long>(g_index));
  if (write(STDERR_FILENO, line, static_cast<std::size_t>(bytes)) < 0) return;
}

void on_signal(int number) {
  say_where();
  std::signal(number, SIG_DFL);
  std::raise(number);
}

std::string interesting_bytes(Random& random) {
  static const std::vector<std::string> values = {
      std::string(1, '\0'),
      "\xff",
      "\x7f",
      "\x80",
      "-1",
      "0",
      "4294967296",
      "1e999",
      "\"",
      "\\u0000",
      "\\ud800",
      "[",
      "]",
      "{",
      "}",
      ",",
      ":",
      "null",
      "true",
      "\xc3\x28",
      "\xf0\x9f\x98",
      "{{",
      "}}",
      "{%",
      "%}",
      "18446744073709551615",
      std::string(8, '\xff'),
      std::string(8, '\0'),
  };
  return values[random.below(values.size())];
}

/// One change of one of eight kinds at a random place.
void mutate_once(std::string& input, const std::vector<std::string>& seeds, Random& random) {
  const std::size_t at = random.below(input.size() + 1);
  const std::size_t length = 1 + random.below(random.below(4) == 0 ? 64 : 4);
  switch (random.below(8)) {
    case 0:
      if (at < input.size()) input[at] = static_cast<char>(input[at] ^ (1 << random.below(8)));
      break;
    case 1:
      if (at < input.size()) input[at] = static_cast<char>(random.next());
      break;
    case 2:
      if (at < input.size()) input.erase(at, length);
      break;
    case 3: input.insert(at, interesting_bytes(random)); break;
    case 4:  // repeat a stretch
      if (at < input.size()) input.insert(at, input.substr(at, length));
      break;
    case 5: {  // take a stretch of another seed
      const std::string& other = seeds[random.below(seeds.size())];
      const std::size_t from = random.below(other.size() + 1);
      input.insert(at, other.substr(from, 1 + random.below(32)));
      break;
    }
    case 6:  // move a stretch
      if (at < input.size()) {
        const std::string piece = input.substr(at, length);
        input.erase(at, length);
        input.insert(random.below(input.size() + 1), piece);
      }
      break;
    default:  // truncate, seldom
      if (random.below(4) == 0) input.resize(at);
  }
}

std::string make_input(std::uint64_t index, const std::vector<std::string>& seeds) {
  if (index < seeds.size()) return seeds[index];
  Random random(g_seed, index);
  std::string input = seeds[random.below(seeds.size())];
  for (std::size_t i = 1 + random.below(1 + random.below(12)); i > 0; --i) {
    mutate_once(input, seeds, random);
  }
  if (input.size() > kInputBytesMax) input.resize(kInputBytesMax);
  return input;
}

/// Hands over an allocation of exactly the input's size, so that ASan sees a read past its end.
void run_one(const std::string& input) {
  const std::vector<std::uint8_t> bytes(input.begin(), input.end());
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

std::uint64_t number_argument(int argc, char** argv, std::string_view name,
                              std::uint64_t fallback) {
  for (int i = 1; i + 1 < argc; ++i) {
    if (argv[i] == name) return std::strtoull(argv[i + 1], nullptr, 10);
  }
  return fallback;
}

int run_file(const char* path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    std::fprintf(stderr, "fuzz: cannot read %s\n", path);
    return 2;
  }
  run_one({std::istreambuf_iterator<char>(file), {}});
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::string_view(argv[1]) == "--file") return run_file(argv[2]);
  const std::vector<std::string> seeds = fuzz_seeds();
  if (seeds.empty()) {
    std::fprintf(stderr, "fuzz: the target has no seeds\n");
    return 2;
  }
  g_seed = number_argument(argc, argv, "--seed", g_seed);
  const std::uint64_t first = number_argument(argc, argv, "--first", 0);
  const std::uint64_t inputs = number_argument(argc, argv, "--inputs", 20000);
  std::printf("fuzz: seed %llu, %llu inputs from number %llu, %zu seed inputs\n",
              static_cast<unsigned long long>(g_seed), static_cast<unsigned long long>(inputs),
              static_cast<unsigned long long>(first), seeds.size());
  std::fflush(stdout);
  if (__sanitizer_set_death_callback != nullptr) {
    __sanitizer_set_death_callback(say_where);
  } else {
    for (int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) std::signal(number, on_signal);
  }
  std::signal(SIGABRT, on_signal);
  for (g_index = first; g_index < first + inputs; ++g_index) run_one(make_input(g_index, seeds));
  std::puts("fuzz: no finding");
}
