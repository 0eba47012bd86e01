// What the two ends of an in-process link share: a queue for each direction. Internal to transport.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "transport/buffer_pool.hpp"
#include "transport/doorbell.hpp"
#include "transport/fault_plan.hpp"

namespace troupe::transport::detail {

class InprocConnection;

/// One direction: any frames in, one reader. The doorbell of the reader rings only when it has
/// parked. Bells ring under the lock: an end that goes takes its bell out under the same lock.
/// *Threading*: the writer's and the reader's loop and any thread that drives a FaultPlan.
class InprocChannel : public FaultTarget {
 public:
  struct Limits {
    std::size_t frames_max;
    std::size_t bytes_max;
  };
  InprocChannel(InprocConnection& connection, Limits limits, Doorbell& reader, Doorbell& writer)
      : connection_(connection), limits_(limits), reader_bell_(&reader), writer_bell_(&writer) {}

  enum class Admission { taken, full, closed };
  /// Counts a frame as under way; `push` or `forget` follows. `full`: the writer's bell rings once
  /// there is room again.
  Admission admit(std::size_t bytes);
  void push(Buffer frame);
  /// Keeps the frame back until `release_delayed`.
  void push_delayed(Buffer frame);
  void push_copy(Buffer frame);  // one more, past the limits
  void forget(std::size_t bytes);

  /// Moves at most `count_max` frames to the end of `out`.
  void drain(std::vector<Buffer>& out, std::size_t count_max);
  /// False when there is something to drain or to learn; else the next change rings.
  bool park();
  /// The writer has gone and everything it sent was drained.
  bool ended() const;
  std::size_t under_way() const;

  void writer_leaves();
  void reader_leaves();
  /// Drops what is under way and wakes both sides.
  void cut();

  void set_frozen(bool frozen) override;
  void release_delayed() override;
  void lose_peer() override;

 private:
  void wake_reader();            // lock held
  void took(std::size_t bytes);  // lock held
  void drop_all();               // lock held

  InprocConnection& connection_;
  const Limits limits_;
  mutable std::mutex mutex_;
  std::atomic<bool> filled_{false};  // a hint that saves the lock of an idle reader
  Doorbell* reader_bell_;
  Doorbell* writer_bell_;
  std::deque<Buffer> frames_;
  std::deque<Buffer> delayed_;
  std::size_t frames_under_way_ = 0;
  std::size_t bytes_under_way_ = 0;
  bool parked_ = false;   // the reader sleeps, or is about to
  bool starved_ = false;  // a send was refused for want of room
  bool frozen_ = false;
  std::atomic<bool> writer_left_{false};
  bool reader_left_ = false;
};

/// Both directions and whether the wire between them is cut.
class InprocConnection {
 public:
  InprocConnection(InprocChannel::Limits limits, Doorbell& bell_a, Doorbell& bell_b)
      : a_to_b(*this, limits, bell_b, bell_a), b_to_a(*this, limits, bell_a, bell_b) {}
  void cut();
  bool is_cut() const { return cut_.load(std::memory_order_acquire); }

  InprocChannel a_to_b;
  InprocChannel b_to_a;

 private:
  std::atomic<bool> cut_{false};
};

}  // namespace troupe::transport::detail
