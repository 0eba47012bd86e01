// The three roles of a round trip, in processes of their own or in one, linked without a director.
#pragma once
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "actors/ucx_dock.hpp"
#include "model/checkpoint/checkpoint.hpp"

namespace troupe::bench {

struct TripOptions {
  std::string layout = "shm";  // shm, tcp: a process for each role; inproc: all in this one
  std::chrono::microseconds poll_us{50};
  std::size_t warm_up = 2000;  // trips before counting begins
  std::size_t trips = 20000;
  std::int64_t rows = 1;
  std::chrono::microseconds inline_us_max{200};
  bool experts_compute = true;  // false: they answer with zeros at once
};

struct TripResult {
  std::string lanes;         // as UCX chose them
  std::vector<double> us;    // of every trip
  double cpu_us = 0;         // this process, per trip: kernel and user
  std::uint64_t sleeps = 0;  // of this process' threads, all trips together
};

/// Sends rows to the router again and again, the next when the answer to the last is in, through
/// the loops, links and ledgers that serve. Forks: to be called while this process has one thread.
TripResult run_trips(const model::Checkpoint& checkpoint, const TripOptions& options);

/// Microseconds of what the roles compute in one trip, called one after the other without actors:
/// gate, experts (if they compute), combination.
double compute_us(const model::Checkpoint& checkpoint, const TripOptions& options);

/// The first layer with experts.
std::int32_t moe_layer(const model::ModelConfig& config);

}  // namespace troupe::bench
