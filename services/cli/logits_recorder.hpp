// Writes what requests of `troupe eval logits` say to the output file as they say it.
#pragma once
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "actors/request.hpp"
#include "services/cli/ids_file.hpp"
#include "services/cli/safetensors_writer.hpp"

namespace troupe::services {

/// Arrays per request i: logits.i F32 [prompt, vocab]; with `generated` > 0 also tokens.i I32 [N],
/// logprobs.i F32 [N] and generated_logits.i F32 [N, vocab].
std::vector<ArraySpec> logits_arrays(const IdArrays& prompts, std::int64_t generated,
                                     std::int64_t vocab_size);

/// One listener per request over one writer. *Threading*: listeners on any threads; it must
/// outlive the requests.
class LogitsRecorder {
 public:
  LogitsRecorder(SafetensorsWriter& writer, std::size_t requests, std::int64_t generated,
                 std::int64_t vocab_size);
  ~LogitsRecorder();

  std::shared_ptr<actors::RequestListener> listener(std::size_t request);
  /// True when every request has finished.
  bool wait(std::chrono::milliseconds patience);
  /// A request that will never be heard of, because it was not accepted.
  void give_up(std::size_t request, const Error& why);

  struct Failure {
    std::size_t request = 0;
    Error error;
    bool writing = false;  // the output file, not the request
  };
  /// The first failure by index, or nothing. After `wait` returned true.
  std::optional<Failure> failure() const;

 private:
  class Listener;
  void finished();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t unfinished_;
  std::vector<std::shared_ptr<Listener>> listeners_;
};

}  // namespace troupe::services
