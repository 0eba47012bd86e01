// Wakes one sleeping loop from any thread: an eventfd.
#pragma once

namespace troupe::transport {

/// *Threading*: any thread rings; the loop that waits on `fd()` silences. Ringing never blocks, and
/// a ring that comes before the wait is not lost.
class Doorbell {
 public:
  Doorbell();  // out of descriptors is a broken invariant: the process ends
  Doorbell(const Doorbell&) = delete;
  Doorbell& operator=(const Doorbell&) = delete;
  ~Doorbell();

  void ring();
  /// Forgets all rings so far. Returns true when there was one. Call before looking for work.
  bool silence();
  /// Readable while it rings; for poll or epoll.
  int fd() const { return fd_; }

 private:
  int fd_;
};

}  // namespace troupe::transport
