// Load on a gateway: when requests are sent, what they ask, and how each of them went.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "services/client/inference_client.hpp"

namespace troupe::services {

struct LoadPlan {
  std::int64_t clients = 1;   // closed loop: each sends when its last request has ended
  double rate = 0;            // not 0: open loop, requests per second, Poisson arrivals
  std::int64_t requests = 0;  // measured ones
  std::int64_t warmup = 0;    // before them, in a closed loop
  std::int64_t prompt_tokens_min = 1, prompt_tokens_max = 1;
  std::int64_t shared_prefix_tokens = 0;  // equal in all prompts
  std::int64_t in_flight_max = 1024;      // open loop: arrivals beyond it are not sent
  std::int64_t vocabulary = 1;            // prompts have ids below
  std::uint64_t seed = 0;
};

/// Random ids; the same for equal plan and index.
std::vector<std::int32_t> synthetic_prompt(const LoadPlan& plan, std::uint64_t index);

/// Seconds from the begin at which each request of an open loop is due, ascending; the same for
/// equal plans.
std::vector<double> arrival_times(const LoadPlan& plan);

/// How one request went. Times are in seconds; in an open loop they begin when it was due, so that
/// a server which holds up the sender does not look faster.
struct RequestOutcome {
  bool sent = false;
  std::string failure;  // empty: it went well
  std::int64_t prompt_tokens = 0, generated_tokens = 0;
  double first_token_s = 0, whole_s = 0;
  std::vector<float> gaps_s;  // between pieces of the answer
};

struct LoadResult {
  std::vector<RequestOutcome> outcomes;  // of the measured requests, by index
  double duration_s = 0;                 // from the first one's begin to the last one's end
  bool interrupted = false;              // Ctrl-C: what was open was given up and counts nowhere
};

/// Sends a prompt; the stream tells how it goes. *Threading*: called from many threads.
using SendPrompt =
    std::function<std::unique_ptr<ClientStream>(const std::vector<std::int32_t>& prompt)>;
/// Requests ended and tokens generated so far. From one thread.
using LoadProgress = std::function<void(std::int64_t requests, std::int64_t tokens)>;

/// What a request of a closed loop is timed by. *Threading*: called from many threads.
using LoadClock = std::function<std::chrono::steady_clock::time_point()>;

/// Runs the whole plan; returns when all requests have ended. *Threading*: blocks; starts a thread
/// for every request in flight.
LoadResult run_load(const LoadPlan& plan, const SendPrompt& send, const LoadProgress& progress,
                    const LoadClock& now = std::chrono::steady_clock::now);

}  // namespace troupe::services
