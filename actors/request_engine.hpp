// What a front (gRPC, HTTP, command line) needs of whatever runs requests. No CAF in here.
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "actors/request.hpp"
#include "core/expected.hpp"

namespace troupe::actors {

/// Whether requests can be served now, and what is in the way.
struct Readiness {
  enum class State : std::uint8_t {
    ready,
    starting,      // loading, or its cluster has never been complete
    draining,      // leaves
    expert_lost,   // the cluster was complete; some experts are with nobody now
    service_lost,  // likewise; there is no router or no attention shard to go to
  } state = State::ready;
  std::string detail;  // for people, by name: "expert 2 is LOST since 3.1 s"
  bool waits = false;  // running requests wait for who is lost, and new ones may wait with them

  bool ready() const { return state == State::ready; }
  /// Whether a request is taken now; probes ask for ready().
  bool takes_requests() const { return ready() || waits; }
};

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
  virtual Readiness readiness() const = 0;
  virtual std::uint64_t numerics_id() const = 0;
};

}  // namespace troupe::actors
