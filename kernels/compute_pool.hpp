// Threads that compute: jobs from many actors through one bounded ring, each split over all
// threads.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

namespace troupe::kernels {

/// Runs jobs apart from the polled loops. Sleeps when empty. One per process; shards share it.
///
/// A job runs on one thread and may call `parallel_for`, whose shares any idle thread of the pool
/// picks up; the caller takes shares too and returns when all are done. Which thread computes a
/// share never changes a bit. Every share runs under an MxcsrGuard, the caller's too.
class ComputePool {
 public:
  using Job = std::function<void()>;
  using Share = std::function<void(std::int64_t begin, std::int64_t end)>;

  struct Settings {
    int threads = 0;             // 0: the cores this process may use
    std::size_t jobs_max = 256;  // ring size
    bool pin = false;            // each thread to a core of its own, as far as there are any
    bool with_caller = false;    // one of them is whoever calls parallel_for, no thread of its own
  };
  /// Throws std::system_error when the system has no more threads.
  explicit ComputePool(Settings settings);
  ComputePool(const ComputePool&) = delete;
  /// Finishes queued jobs first.
  ~ComputePool();

  int threads() const;

  /// False when the ring is full: the caller keeps its work and tries again after a completion.
  /// *Threading*: any; never blocks.
  [[nodiscard]] bool submit(Job job);

  /// Calls `share` for disjoint ranges that cover [0, count), multiples of `grain` but the last.
  /// The first exception of a share comes out once none is running. *Threading*: any, in jobs too.
  void parallel_for(std::int64_t count, std::int64_t grain, const Share& share);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Sets MXCSR to what every kernel assumes (nearest, no FTZ, no DAZ, exceptions masked), or to that
/// with both, and restores the caller's on destruction.
class MxcsrGuard {
 public:
  /// flush: subnormal operands and results of this thread's vector arithmetic are zero, as AMX's
  /// always are. What is computed so must be in a function that is not inlined here: compilers move
  /// arithmetic.
  enum class Subnormals : std::uint8_t { keep, flush };
  explicit MxcsrGuard(Subnormals subnormals = Subnormals::keep);
  MxcsrGuard(const MxcsrGuard&) = delete;
  ~MxcsrGuard();

 private:
  unsigned int saved_;
};

/// While it lives, `parallel_for` on this thread shares nothing out: it computes all shares itself,
/// so that it waits for nobody. For short work on threads that must not wait.
class SoloGuard {
 public:
  SoloGuard();
  SoloGuard(const SoloGuard&) = delete;
  ~SoloGuard();

 private:
  bool outer_;
};

}  // namespace troupe::kernels
