// A batch under way: lines to requests, several at once, and answers to the output.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "services/cli/batch_input.hpp"
#include "services/cli/batch_output.hpp"
#include "services/client/openai_client.hpp"

namespace troupe::services {

struct BatchSettings {
  std::filesystem::path input;
  std::int64_t parallel = 8;  // requests in flight; as many lines are in memory
  std::int64_t retries = 5;   // of a request that may go well later: 429, 503, no connection
};

/// Answers the body of a request to a path. *Threading*: called from many threads; blocks.
using BatchEndpoint = std::function<HttpAnswer(const std::string& path, const std::string& body)>;

struct BatchTotals {
  std::uint64_t answered = 0;  // by this run
  std::uint64_t failed = 0;    // of them: no response, or one that is not 200
  std::int64_t tokens = 0;     // that were generated
};
using BatchProgress = std::function<void(const BatchTotals&)>;

/// Why a batch ended before its last line. What is in the output stays.
struct BatchStop {
  std::optional<Error> output;         // it cannot be written
  std::optional<HttpAnswer> endpoint;  // it does not answer, however often it is asked
  bool interrupted = false;            // Ctrl-C; what was in flight was waited for
};

struct BatchResult {
  BatchTotals totals;
  BatchStop stop;
};

/// Asks every line that `output` does not answer yet. Answers are appended as they come, so their
/// order is not that of the lines. A request that may go well later is asked again; a batch stops,
/// with nothing written for it, rather than write a failure that is not the line's.
/// *Errors*: those of reading the input again. *Threading*: blocks; starts `parallel` threads.
Expected<BatchResult> run_batch(const BatchSettings& settings, BatchOutput& output,
                                const BatchEndpoint& endpoint, const BatchProgress& progress);

}  // namespace troupe::services
