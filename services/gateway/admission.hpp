// How many requests a gateway answers at once, and when to come back once there is room.
#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>

#include "services/gateway/api_error.hpp"

namespace troupe::services {

/// *Threading*: any.
class Admission {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Admission(std::int64_t open_max) : open_max_(open_max) {}

  struct Leave {
    void operator()(Admission* admission) const { admission->leave(Clock::now()); }
  };
  /// A place among the requests under way, until it goes. Must not outlive the Admission.
  using Place = std::unique_ptr<Admission, Leave>;

  /// *Errors*: QUEUE_FULL with a time to come back: while there was no room, a place became free
  /// every `d`; of k that were refused since the last one, or since none was taken, the next is
  /// asked to wait (k + 1) d, 1 s to 60 s. So those who come back are spread over the places that
  /// there will be.
  Answered<Place> enter();
  /// The shard it was sent to had no room for a request: its place becomes free, and nobody else's
  /// can be had. When to come back, as above.
  std::chrono::milliseconds turn_away(Place place);
  /// The request itself was to blame and never ran, or there was no memory for it, so there is none
  /// for whoever waits: its end says nothing of when places become free.
  void give_back(Place place);
  /// The request of `place`, which may be null, ends with `error`, before or behind its start: one
  /// of the above, or a place that becomes free. QUEUE_FULL gets the time to come back.
  void end(Place place, ApiError& error);

  /// A request ended at `now`: for tests, what Place does.
  void leave(Clock::time_point now);
  std::int64_t open() const;

 private:
  std::chrono::milliseconds wait_for_one_more();
  void settle();

  const std::int64_t open_max_;
  mutable std::mutex mutex_;
  std::int64_t open_ = 0;
  std::int64_t refused_ = 0;                     // since a place became free, or all are
  std::optional<Clock::time_point> full_since_;  // here, or at a shard; the last place became free
  bool full_here_ = false;                       // of full_since_: not at a shard
  std::chrono::duration<double> between_{0};     // places becoming free; smoothed
};

}  // namespace troupe::services
