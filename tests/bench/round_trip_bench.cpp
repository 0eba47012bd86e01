// The round trip attention -> router -> expert -> router -> attention: p50 and p99 in us, by
// transport, with loops that spin and loops that sleep.
//   bench_round_trip [MODEL] [--rows N] [--trips N] [--inline-us N] [--layout shm,tcp,inproc]
//   [--poll-us 0,50,...] [--experts zeros]
// One line of JSON for each combination. MODEL: a directory; default one of tiny width, made here.
// make_model.py DIR --config tests/bench/wide_rows.json makes one with rows of 14 KB, one expert to
// each: `--experts zeros` answers without computing it, which takes longer than the trip.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "tests/bench/round_trip_hosts.hpp"
#include "tests/support/tiny_checkpoint.hpp"

namespace troupe::bench {
namespace {

struct Flags {
  std::string model;
  std::string layouts = "shm,tcp,inproc";
  std::string poll_us = "1000000,50,0";  // spinning, the default, sleeping at once
  TripOptions trip;
};

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> words;
  std::istringstream stream(list);
  for (std::string word; std::getline(stream, word, ',');) words.push_back(word);
  return words;
}

Flags read_flags(int count, char** words) {
  Flags flags;
  for (int i = 1; i < count; ++i) {
    const std::string word = words[i];
    if (!word.starts_with("--") || i + 1 == count) {
      flags.model = word;
      continue;
    }
    const std::string value = words[++i];
    if (word == "--experts") flags.trip.experts_compute = value != "zeros";
    if (word == "--rows") flags.trip.rows = std::atoll(value.c_str());
    if (word == "--trips") flags.trip.trips = static_cast<std::size_t>(std::atoll(value.c_str()));
    if (word == "--layout") flags.layouts = value;
    if (word == "--inline-us")
      flags.trip.inline_us_max = std::chrono::microseconds(std::atoll(value.c_str()));
    if (word == "--poll-us") flags.poll_us = value;
  }
  return flags;
}

double percentile(std::vector<double>& sorted, double share) {
  return sorted[static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1))];
}

void report(const TripOptions& options, TripResult result, std::int64_t row_bytes, double compute) {
  std::sort(result.us.begin(), result.us.end());
  std::printf(
      "{\"layout\": \"%s\", \"lanes\": \"%s\", \"poll_us\": %lld, \"rows\": %lld, "
      "\"row_bytes\": %lld, \"p50_us\": %.1f, \"p99_us\": %.1f, \"min_us\": %.1f, "
      "\"compute_us\": %.1f, \"asker_cpu_us\": %.1f, \"asker_sleeps\": %.2f}\n",
      options.layout.c_str(), result.lanes.c_str(), static_cast<long long>(options.poll_us.count()),
      static_cast<long long>(options.rows), static_cast<long long>(row_bytes),
      percentile(result.us, 0.5), percentile(result.us, 0.99), result.us.front(), compute,
      result.cpu_us, static_cast<double>(result.sleeps) / static_cast<double>(result.us.size()));
  std::fflush(stdout);
}

int run(int count, char** words) {
  auto flags = read_flags(count, words);
  const testing::TempDir tiny;
  if (flags.model.empty()) testing::TinyCheckpoint().write(tiny.path());
  const auto checkpoint =
      model::Checkpoint::open(flags.model.empty() ? tiny.path().string() : flags.model);
  if (!checkpoint) return std::fprintf(stderr, "%s\n", checkpoint.error().detail.c_str()), 1;
  for (const auto& layout : split(flags.layouts))
    for (const auto& poll : split(flags.poll_us)) {
      flags.trip.layout = layout;
      flags.trip.poll_us = std::chrono::microseconds(std::atoll(poll.c_str()));
      auto result = run_trips(*checkpoint, flags.trip);
      report(flags.trip, std::move(result), 2 * checkpoint->config().hidden_size,
             compute_us(*checkpoint, flags.trip));
    }
  return 0;
}

}  // namespace
}  // namespace troupe::bench

int main(int count, char** words) { return troupe::bench::run(count, words); }
