// Wakes one sleeping loop from any thread, or lets the thread that has work for it make its pass.
#pragma once
#include <atomic>
#include <cstddef>
#include <functional>
#include <mutex>

namespace troupe::transport {

/// *Threading*: any thread rings; the loop that waits on `fd()` silences. Ringing never blocks, and
/// a ring that comes before the wait is not lost.
///
/// A loop may be *open to visitors*: a thread that has just made work for it makes the pass itself
/// (see Visits) and spares the loop's thread a wake-up by the kernel, 5 to 20 us. Whoever makes a
/// pass, that thread included, holds the loop's *turn*, so that there is one at a time.
class Doorbell {
 public:
  /// Passes until the loop has nothing to do and is armed. False: its thread has to be woken.
  using Pass = std::function<bool()>;

  Doorbell();  // out of descriptors is a broken invariant: the process ends
  Doorbell(const Doorbell&) = delete;
  Doorbell& operator=(const Doorbell&) = delete;
  ~Doorbell();

  void ring();
  /// Forgets all rings so far. Returns true when there was one. Call before looking for work.
  bool silence();
  /// Readable while it rings; for poll or epoll.
  int fd() const { return fd_; }

  /// There is work that a pass finds. This thread makes one when its Visits end, if it has some and
  /// the loop is open; else as `ring`.
  void knock();
  /// By the loop's own thread: from now on visitors call `pass`, holding the turn.
  void open(Pass pass);
  /// By the loop's own thread: none is in a pass now, and none comes any more.
  void close();
  /// By the loop's own thread, around each of its passes. Visits are not waited for until it is
  /// released: whoever comes meanwhile leaves `wanted` behind.
  std::unique_lock<std::mutex> take_turn();
  /// Whether somebody found the turn taken since it was taken: do not sleep.
  bool wanted() const { return wanted_.load(); }

 private:
  friend class Visits;
  void visit();

  int fd_;
  std::mutex turn_;
  std::atomic<bool> wanted_{false};
  std::atomic<bool> open_{false};  // a hint: pass_ is looked at with the turn
  Pass pass_;
};

/// While one lives on a thread, knocks at open loops wait in it; its end makes their passes, and
/// those that these passes ask for, up to a bound: then it rings. One inside of another leaves all
/// to the outer one. Every turn and lock must have been released by then.
class Visits {
 public:
  /// Rows may go around between loops for ever, and this thread has other things to do.
  static constexpr std::size_t kMax = 32;

  /// `made` false: knocks ring, as they do without.
  explicit Visits(bool made = true);
  Visits(const Visits&) = delete;
  ~Visits();

 private:
  bool outermost_;
};

}  // namespace troupe::transport
