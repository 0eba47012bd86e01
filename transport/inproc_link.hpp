// A link between two loops of one process that copies what a wire would, with hooks for faults.
#pragma once
#include <cstddef>
#include <memory>

#include "transport/buffer_pool.hpp"
#include "transport/doorbell.hpp"
#include "transport/fault_plan.hpp"
#include "transport/link.hpp"

namespace troupe::transport {

struct InprocSettings {
  std::size_t frames_in_flight_max = 1024;       // per direction, sent and not yet drained
  std::size_t bytes_in_flight_max = 256u << 20;  // likewise; one frame is always taken
  std::shared_ptr<FaultPlan> faults_a_to_b;      // none when empty
  std::shared_ptr<FaultPlan> faults_b_to_a;
};

struct InprocPair {
  std::unique_ptr<Link> a;
  std::unique_ptr<Link> b;
};

/// Two connected ends. Each may live on a loop of its own: `a`'s loop sleeps on `bell_a`, `b`'s on
/// `bell_b`. The doorbell rings only for an end that has armed and not woken since, so a busy loop
/// costs no system call. Frames are copied in `send` into buffers of `pool`, which serves both
/// ends; `done` is called in the next `progress`. Destroying or closing one end makes the other
/// lost, after the frames that were sent before. Buffers may outlive the links. *Lifetimes*: bells
/// and pool must outlive *both* ends (also a bell whose own end is gone). *Threading*: this call
/// anywhere; then see Link.
InprocPair make_inproc_pair(Doorbell& bell_a, Doorbell& bell_b, BufferPool& pool,
                            InprocSettings settings = {});

}  // namespace troupe::transport
