// How a loop hands work to the compute pool and gets told on its own thread that it is done.
#pragma once
#include <atomic>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "transport/doorbell.hpp"

namespace troupe::actors {

/// Jobs of one loop. `work` runs on a compute thread, `done` afterwards in `drain`, on the loop.
/// *Threading*: one loop, construction and destruction included.
class ComputeLane {
 public:
  using Work = std::function<void()>;
  /// Takes a job for another thread, or returns false when it has no room (ComputePool::submit).
  using Submit = std::function<bool(Work)>;

  /// full() from `jobs_max` jobs on: new work then waits, while work that was begun may still post
  /// its next stage. `bell` must outlive the lane.
  ComputeLane(Submit submit, transport::Doorbell& bell, std::size_t jobs_max);
  ComputeLane(const ComputeLane&) = delete;
  /// Waits for the jobs under way; their `done`s are not called.
  ~ComputeLane();

  bool full() const { return jobs_.size() >= jobs_max_; }
  bool idle() const { return jobs_.empty() && here_.empty(); }
  /// Never blocks: what the pool has no room for waits here.
  void post(Work work, Work done);
  /// Runs `work` on the loop, now; `done` in the next `drain`, as if it had been posted. For work
  /// that is shorter than handing it over.
  void run_here(const Work& work, Work done);
  /// Runs the `done`s of finished jobs and offers waiting ones to the pool again. True: there was
  /// something.
  bool drain();
  /// Whether `drain` would call a `done` of `run_here`.
  bool ran_here() const { return !here_.empty(); }
  /// Whether a job waits for room in the pool: the loop then looks again soon instead of sleeping.
  bool crowded_out() const { return !refused_.empty(); }
  /// False when a job has finished: do not sleep.
  bool arm() const { return here_.empty() && finished_.load(std::memory_order_acquire) == 0; }
  /// Blocks until every job has run and forgets their `done`s. For the end of a loop.
  void abandon();

 private:
  struct Job {
    Work work;
    Work done;
    std::atomic<bool> finished{false};
  };
  bool offer(Job* job);

  Submit submit_;
  transport::Doorbell& bell_;
  std::size_t jobs_max_;
  std::deque<std::unique_ptr<Job>> jobs_;  // in order of posting
  std::deque<Job*> refused_;
  std::vector<Work> here_;  // `done`s of what ran on the loop
  std::atomic<std::size_t> finished_{0};
};

}  // namespace troupe::actors
