// Bookkeeping of the jobs of one loop.
#include "actors/compute_lane.hpp"

#include <poll.h>

#include <utility>

#include "kernels/compute_pool.hpp"

namespace troupe::actors {

ComputeLane::ComputeLane(Submit submit, transport::Doorbell& bell, std::size_t jobs_max)
    : submit_(std::move(submit)), bell_(bell), jobs_max_(jobs_max) {}

ComputeLane::~ComputeLane() { abandon(); }

void ComputeLane::post(Work work, Work done) {
  auto job = std::make_unique<Job>();
  job->work = std::move(work);
  job->done = std::move(done);
  jobs_.push_back(std::move(job));
  if (!refused_.empty() || !offer(jobs_.back().get())) refused_.push_back(jobs_.back().get());
}

void ComputeLane::run_here(const Work& work, Work done) {
  const kernels::SoloGuard alone;  // a loop waits for nobody
  work();
  here_.push_back(std::move(done));
}

bool ComputeLane::offer(Job* job) {
  return submit_([this, job] {
    job->work();
    job->work = nullptr;  // what it holds goes before the loop may look
    auto& bell = bell_;   // the lane may be gone once the last job is marked
    finished_.fetch_add(1, std::memory_order_relaxed);
    job->finished.store(true, std::memory_order_release);
    const transport::Visits visits;  // this thread is the first that has nothing better to do
    bell.knock();
  });
}

bool ComputeLane::drain() {
  bool busy = false;
  while (!refused_.empty() && offer(refused_.front())) {
    refused_.pop_front();
    busy = true;
  }
  for (auto& done : std::exchange(here_, {})) {
    if (done) done();
    busy = true;
  }
  if (finished_.load(std::memory_order_acquire) == 0) return busy;
  std::deque<std::unique_ptr<Job>> ended;
  for (auto& job : jobs_)
    if (job->finished.load(std::memory_order_acquire)) ended.push_back(std::move(job));
  std::erase(jobs_, nullptr);
  finished_.fetch_sub(ended.size(), std::memory_order_relaxed);
  for (auto& job : ended)
    if (job->done) job->done();
  return busy || !ended.empty();
}

void ComputeLane::abandon() {
  const auto pending = [&] {
    for (auto& job : jobs_)
      if (!job->finished.load(std::memory_order_acquire)) return true;
    return false;
  };
  for (auto* job : std::exchange(refused_, {})) job->finished.store(true);  // never began
  while (pending()) {
    pollfd bell{.fd = bell_.fd(), .events = POLLIN, .revents = 0};
    ::poll(&bell, 1, -1);
    bell_.silence();
  }
  jobs_.clear();
  here_.clear();
  finished_.store(0);
}

}  // namespace troupe::actors
