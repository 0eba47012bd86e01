// A ring of jobs, a list of loops being shared out, and threads that take from both.
#include "kernels/compute_pool.hpp"

#include <immintrin.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/check.hpp"
#include "core/core_offer.hpp"

namespace troupe::kernels {
namespace {

/// Round to nearest, all exceptions masked, flush-to-zero and denormals-are-zero off.
constexpr unsigned int kMxcsr = 0x1f80;

/// How long an idle thread looks for work before it sleeps. The gaps between the operations of a
/// layer, roles handing rows over among them, are shorter; a wake-up by the kernel costs 5 to 50
/// us.
constexpr std::chrono::microseconds kIdleSpin{100};

thread_local bool solo = false;  // this thread shares nothing out

/// Waits a moment for `done` without sleeping. False: the moment is over. The first microseconds
/// belong to this thread; after that any other that can run may have the core.
template <class Done>
bool spin_until(const Done& done) {
  constexpr int kPauses = 8;     // between two looks, 0.1 us
  constexpr int kOwnLooks = 40;  // before the core is offered
  const auto until = std::chrono::steady_clock::now() + kIdleSpin;
  for (int look = 0; !done(); ++look) {
    for (int i = 0; i < kPauses; ++i) _mm_pause();
    if (look < kOwnLooks) continue;
    if (std::chrono::steady_clock::now() >= until || !offer_core()) return done();
  }
  return true;
}

int usable_cores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

/// Keeps this thread on the `index`th of the cores that it may use, round and round. A refusal
/// costs nothing but the pinning.
void pin_to_core(int index) {
  cpu_set_t may;
  if (sched_getaffinity(0, sizeof(may), &may) != 0) return;
  int left = index % std::max(1, CPU_COUNT(&may));
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (!CPU_ISSET(core, &may) || left-- > 0) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(core, &one);
    static_cast<void>(sched_setaffinity(0, sizeof(one), &one));
    return;
  }
}

/// One parallel_for being shared out. Lives on its caller's stack.
struct Loop {
  const ComputePool::Share* share = nullptr;
  std::int64_t count = 0;
  std::int64_t grain = 1;
  std::atomic<std::int64_t> next{0};
  std::atomic<int> helpers{0};  // pool threads inside; they enter under State::mutex
  std::atomic<bool> failed{false};
  std::exception_ptr failure;  // of the first share that threw; read when all have left

  bool exhausted() const { return next.load(std::memory_order_relaxed) >= count; }

  /// Takes shares until none is left or one throws: memory can run out in any of them.
  void work() noexcept {
    try {
      for (;;) {
        const std::int64_t begin = next.fetch_add(grain, std::memory_order_relaxed);
        if (begin >= count) return;
        (*share)(begin, std::min(begin + grain, count));
      }
    } catch (...) {
      if (!failed.exchange(true)) failure = std::current_exception();
      next.store(count, std::memory_order_relaxed);
    }
  }
};

}  // namespace

struct ComputePool::State {
  std::mutex mutex;
  std::condition_variable wake;       // work has come, or stopping
  std::condition_variable loop_left;  // a helper has left a loop
  std::deque<Job> jobs;               // at most jobs_max
  std::size_t jobs_max = 0;
  int callers = 0;  // that compute, beside the threads here
  std::vector<Loop*> loops;  // those with shares left, oldest first
  bool stopping = false;
  std::atomic<std::int64_t> offers{0};  // counts pushes, so that spinning threads see them
  std::vector<std::thread> threads;

  /// Finishes queued jobs and joins: also those that a constructor has begun when it fails.
  ~State() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
      announce();
    }
    wake.notify_all();
    for (std::thread& thread : threads) thread.join();
  }

  void announce() { offers.fetch_add(1, std::memory_order_release); }

  Loop* open_loop() {
    while (!loops.empty() && loops.front()->exhausted()) loops.erase(loops.begin());
    return loops.empty() ? nullptr : loops.front();
  }

  /// Runs one thing that is waiting. False when nothing is.
  bool run_one(std::unique_lock<std::mutex>& lock) {
    if (Loop* loop = open_loop(); loop != nullptr) {
      loop->helpers.fetch_add(1, std::memory_order_relaxed);
      lock.unlock();
      loop->work();
      const bool last = loop->helpers.fetch_sub(1, std::memory_order_acq_rel) == 1;
      lock.lock();  // the loop may be gone by now
      if (last) loop_left.notify_all();
      return true;
    }
    if (jobs.empty()) return false;
    Job job = std::move(jobs.front());
    jobs.pop_front();
    lock.unlock();
    job();
    job = nullptr;  // destroyed before the lock is taken again
    lock.lock();
    return true;
  }

  void thread_main() {
    const MxcsrGuard guard;
    std::unique_lock lock(mutex);
    bool spun = false;
    for (;;) {
      if (run_one(lock)) {
        spun = false;
        continue;
      }
      if (stopping) return;
      if (!spun) {
        const std::int64_t seen = offers.load(std::memory_order_relaxed);
        lock.unlock();
        // What has come may be another's by now: then the wait begins anew.
        spun = !spin_until([&] { return offers.load(std::memory_order_acquire) != seen; });
        lock.lock();
        continue;
      }
      wake.wait(lock);
      spun = false;
    }
  }

  void share_out(Loop& loop) {
    {
      const std::lock_guard lock(mutex);
      loops.push_back(&loop);
      announce();
    }
    wake.notify_all();
    loop.work();
    const auto left = [&loop] { return loop.helpers.load(std::memory_order_acquire) == 0; };
    {
      const std::lock_guard lock(mutex);
      loops.erase(std::remove(loops.begin(), loops.end(), &loop), loops.end());
    }
    // Shares are small: to sleep until the last one is done takes longer than to wait for it.
    if (!spin_until(left)) {
      std::unique_lock lock(mutex);
      loop_left.wait(lock, left);
    }
    if (loop.failure) std::rethrow_exception(loop.failure);
  }
};

ComputePool::ComputePool(Settings settings) : state_(std::make_unique<State>()) {
  const int threads = settings.threads > 0 ? settings.threads : usable_cores();
  state_->jobs_max = settings.jobs_max;
  state_->callers = settings.with_caller ? 1 : 0;
  for (int i = state_->callers; i < threads; ++i)
    state_->threads.emplace_back([state = state_.get(), i, pin = settings.pin] {
      if (pin) pin_to_core(i);
      state->thread_main();
    });
}

ComputePool::~ComputePool() = default;

int ComputePool::threads() const {
  return static_cast<int>(state_->threads.size()) + state_->callers;
}

bool ComputePool::submit(Job job) {
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->jobs.size() >= state_->jobs_max) return false;
    state_->jobs.push_back(std::move(job));
    state_->announce();
  }
  state_->wake.notify_one();
  return true;
}

void ComputePool::parallel_for(std::int64_t count, std::int64_t grain, const Share& share) {
  TROUPE_CHECK(grain > 0, "grain " + std::to_string(grain));
  if (count <= 0) return;
  const MxcsrGuard guard;
  if (count <= grain || solo) return share(0, count);
  Loop loop;
  loop.share = &share;
  loop.count = count;
  loop.grain = grain;
  state_->share_out(loop);
}

SoloGuard::SoloGuard() : outer_(std::exchange(solo, true)) {}
SoloGuard::~SoloGuard() { solo = outer_; }

MxcsrGuard::MxcsrGuard(Subnormals subnormals) : saved_(_mm_getcsr()) {
  constexpr unsigned int kToZero = 0x8000;   // results
  constexpr unsigned int kAreZero = 0x0040;  // operands
  _mm_setcsr(subnormals == Subnormals::flush ? kMxcsr | kToZero | kAreZero : kMxcsr);
}
MxcsrGuard::~MxcsrGuard() { _mm_setcsr(saved_); }

}  // namespace troupe::kernels
