// What the in-process links of one cluster share: buffers, doorbells and ordered faults.
#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "actors/peer_id.hpp"
#include "transport/buffer_pool.hpp"
#include "transport/doorbell.hpp"
#include "transport/inproc_link.hpp"

namespace troupe::actors {

/// Everything a link may touch after its own loop has gone, so every loop holds a share of it.
/// *Threading*: any; a short lock.
class LocalWire {
 public:
  transport::BufferPool& buffers() { return buffers_; }
  /// The doorbell of one loop; made when first asked for, kept until the wire ends.
  transport::Doorbell& bell(PeerId loop);
  /// Faults on what `from` sends to `to`, on links made afterwards. For tests.
  void set_faults(PeerId from, PeerId to, std::shared_ptr<transport::FaultPlan> plan);
  /// Two connected ends: `a` for the loop of the first, `b` for that of the second.
  transport::InprocPair connect(PeerId a, PeerId b);

 private:
  std::mutex mutex_;
  transport::BufferPool buffers_;
  std::map<PeerId, std::unique_ptr<transport::Doorbell>> bells_;
  std::map<std::pair<PeerId, PeerId>, std::shared_ptr<transport::FaultPlan>> faults_;
};

}  // namespace troupe::actors
