// A typed CAF actor that owns its thread, its mailbox and its links: one loop serves them all and
// sleeps when they are quiet.
#pragma once
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <caf/all.hpp>
#include <caf/detail/sync_request_bouncer.hpp>
#include <caf/scoped_execution_unit.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <system_error>
#include <thread>

#include "core/check.hpp"
#include "core/core_offer.hpp"
#include "transport/doorbell.hpp"

#if defined(__SANITIZE_THREAD__)
extern "C" void __tsan_acquire(void* address);
extern "C" void __tsan_release(void* address);
#endif

namespace troupe::actors {

// The mailbox and the end of a thread synchronise inside libcaf_core, which ThreadSanitizer does
// not see: both sides name a common address instead.
inline void mark_release([[maybe_unused]] void* address) {
#if defined(__SANITIZE_THREAD__)
  __tsan_release(address);
#endif
}
inline void mark_acquire([[maybe_unused]] void* address) {
#if defined(__SANITIZE_THREAD__)
  __tsan_acquire(address);
#endif
}

struct PollSettings {
  /// How long an idle loop looks for work, with offer_core between looks, before it sleeps. 0: it
  /// sleeps at once.
  std::chrono::microseconds poll_us{50};
  /// Whether threads that have work for the loop make its pass themselves while it sleeps. Not for
  /// loops that call foreign code.
  bool visited = false;
};

/// `Base` is an event-based actor class, typed or not. All that CAF offers such an actor works:
/// typed handles, `request().then()`, response promises, monitors, `delayed_send`.
///
/// Spawn it *without* `caf::detached`: that flag makes CAF create a thread of its own. The thread
/// made here replaces it, and CAF counts it, so that the actor system waits for its end. It also
/// keeps the actor alive: dropping the last handle does not end it, `send_exit` or `quit` do.
template <class Base>
class polled_actor : public Base {
 public:
  using LoopClock = std::chrono::steady_clock;

  /// `bell` must outlive the actor, also after its loop has ended.
  polled_actor(caf::actor_config& config, PollSettings settings, transport::Doorbell& bell)
      : Base(config), settings_(settings), bell_(bell), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    TROUPE_CHECK(epoll_ >= 0, std::strerror(errno));
    watch(bell_.fd());
  }
  ~polled_actor() override {
    mark_acquire(&bell_);  // libcaf_core counted the last handle down: see the end of enqueue
    ::close(epoll_);
  }

  /// As `scheduled_actor::enqueue`, with the doorbell in place of the scheduler. *Threading*: any.
  void enqueue(caf::mailbox_element_ptr mail, caf::execution_unit*) override {
    const auto id = mail->mid;
    const auto sender = mail->sender;
    mark_release(&bell_);
    switch (this->mailbox().push_back(std::move(mail))) {
      case caf::intrusive::inbox_result::unblocked_reader: bell_.ring(); break;
      case caf::intrusive::inbox_result::success: break;  // the loop has not declared itself empty
      case caf::intrusive::inbox_result::queue_closed:
        if (id.is_request())
          caf::detail::sync_request_bouncer{caf::make_error(caf::sec::request_receiver_down)}(
              sender, id);
    }
    mark_release(&bell_);  // the sender is done with this actor, whose handle it may give back now
  }

  void launch(caf::execution_unit*, bool /*lazy*/, bool hide) override {
    if (!hide) this->register_at_system();
    this->home_system().inc_detached_threads();
    try {
      std::thread([strong = caf::strong_actor_ptr{this->ctrl()}, this]() mutable {
        auto& system = this->home_system();
        system.thread_started();
        run(system);
        strong = nullptr;  // may destroy *this: the system must still be there
        system.thread_terminates();
        mark_release(&system);  // whoever destroys the system marks the other side
        system.dec_detached_threads();
      }).detach();
    } catch (const std::system_error&) {  // no more threads: the system must not wait for this one
      this->home_system().dec_detached_threads();
      throw;
    }
  }

 protected:
  /// One pass over everything but the mailbox. True: there was something to do. Called on the
  /// actor's thread, as are all that follow, or by a visitor in its turn, as are the next two; a
  /// visited loop's must not `quit`.
  virtual bool poll() = 0;
  /// Last call before sleeping. False: work arrived meanwhile, do not sleep.
  virtual bool arm() = 0;
  /// When to poll again at the latest.
  virtual std::optional<LoopClock::time_point> next_deadline() const = 0;
  /// First and last call: the place to open and close what belongs to the thread.
  virtual void thread_begins() = 0;
  virtual void thread_ends() = 0;

  /// For descriptors that come and go. A closed one has left by itself.
  void unwatch(int fd) { (void)::epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr); }
  void watch(int fd) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    TROUPE_CHECK(::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0, std::strerror(errno));
  }

 private:
  void run(caf::actor_system& system) {
    caf::scoped_execution_unit context{&system};
    thread_begins();
    if (settings_.visited) bell_.open([this] { return visit(); });
    auto quiet_since = LoopClock::now();
    for (;;) {
      const bool busy = pass(context);
      if (over_) break;
      const auto now = LoopClock::now();
      if (busy) {
        quiet_since = now;
        refusals_ = 0;
      } else if (now - quiet_since >= settings_.poll_us || !offer_core()) {
        sleep(now);
      }
    }
    bell_.close();
    thread_ends();
  }

  /// Mail and poll, by the loop's own thread. True: there was something to do.
  bool pass(caf::scoped_execution_unit& context) {
    const transport::Visits visits(settings_.visited);  // after the turn
    const auto turn = bell_.take_turn();
    wakes_at_ = LoopClock::time_point::min();
    // `resume` blocks the mailbox once it has emptied it, and a blocked one must not be resumed.
    // The first pass resumes: it installs the behavior.
    bool busy = !this->mailbox().blocked();
    mark_acquire(&bell_);
    over_ = busy && this->resume(&context, kMailBatch) == caf::resumable::done;
    if (over_) return true;
    busy |= poll();
    over_ = this->finalize();  // `quit` outside a message handler is noticed here only
    return busy;
  }

  /// By a thread that has the turn and something for this loop, whose own may sleep.
  bool visit() {
    for (int round = 0; round < kVisitRoundsMax && !over_; ++round) {
      if (poll() || !arm()) continue;
      const auto deadline = next_deadline();
      return !deadline || *deadline >= wakes_at_;
    }
    return over_;
  }

  /// Whether the loop may sleep; then `deadline` is when it has to wake.
  bool arm_in_turn(std::optional<LoopClock::time_point>& deadline) {
    const transport::Visits visits(settings_.visited);
    const auto turn = bell_.take_turn();
    if (!arm()) return false;
    deadline = next_deadline();
    wakes_at_ = deadline.value_or(LoopClock::time_point::max());
    return true;
  }

  void sleep(LoopClock::time_point now) {
    std::optional<LoopClock::time_point> deadline;
    if (!arm_in_turn(deadline)) {
      if (++refusals_ >= kRefusalsMax) doze();
      return;
    }
    refusals_ = 0;
    if (bell_.wanted()) return;
    int timeout_ms = -1;
    if (deadline) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline - now).count();
      timeout_ms = static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000));
    }
    epoll_event events[4];
    const int ready = ::epoll_wait(epoll_, events, 4, timeout_ms);
    for (int i = 0; i < ready; ++i)
      if (events[i].data.fd == bell_.fd()) bell_.silence();
  }

  /// Armed in vain again and again: a link holds sends that a stopped process does not take. Its
  /// descriptor may stay readable all that time, so only the doorbell can end this sleep early.
  void doze() {
    pollfd bell{};
    bell.fd = bell_.fd();
    bell.events = POLLIN;
    if (::poll(&bell, 1, kDozeMs) > 0) bell_.silence();
  }

  static constexpr std::size_t kMailBatch = 16;  // so that a flood of mail cannot starve the links
  static constexpr int kVisitRoundsMax = 8;      // then the loop's own thread goes on
  static constexpr int kRefusalsMax = 64;        // once or twice is ordinary traffic
  static constexpr int kDozeMs = 1;
  PollSettings settings_;
  transport::Doorbell& bell_;
  int epoll_;
  LoopClock::time_point wakes_at_{};  // min while its thread is awake; with the turn, as over_
  bool over_ = false;
  int refusals_ = 0;
};

}  // namespace troupe::actors
