// What a front (gRPC, HTTP, command line) needs of whatever runs requests. No CAF in here.
#pragma once
#include <memory>

#include "actors/request.hpp"
#include "core/expected.hpp"

namespace troupe::actors {

/// A whole cluster in this process, or this process' gateway of a cluster of services.
/// *Threading*: any thread; nothing blocks.
class RequestEngine {
 public:
  virtual ~RequestEngine() = default;
  /// What the shard finds wrong later reaches the listener as on_finished.
  /// *Errors*: `invalid_argument` (empty prompt, sampling parameters), `out_of_range` (a token id
  /// past the vocabulary, or longer than the model's positions), `unavailable` (nothing to run it
  /// on yet, or draining); the listener is not called then.
  virtual Expected<RequestId> submit(GenerateRequest request,
                                     std::shared_ptr<RequestListener> listener) = 0;
  /// The listener hears on_finished(cancelled), unless the request ends first.
  virtual void cancel(RequestId request) = 0;
  /// `ok` when requests can be served now, else why not (`unavailable`, detail for people).
  virtual Error readiness() const = 0;
  virtual std::uint64_t numerics_id() const = 0;
};

}  // namespace troupe::actors
