// A count, and the smoothed time between requests that end.
#include "services/gateway/admission.hpp"

#include <algorithm>
#include <utility>

namespace troupe::services {
namespace {

constexpr double kNewest = 0.2;  // weight of the newest interval
constexpr std::chrono::duration<double> kWaitMin{1}, kWaitMax{60};

/// Whether this server would never take the request as it is, or has no memory for it.
bool frees_nothing(const ApiError& error) {
  return error.code == ApiCode::invalid_argument || error.code == ApiCode::not_found ||
         error.code == ApiCode::failed_precondition || error.code == ApiCode::unimplemented ||
         error.reason == "MEMORY_EXHAUSTED";
}

}  // namespace

Answered<Admission::Place> Admission::enter() {
  const std::lock_guard lock(mutex_);
  if (open_ >= open_max_) return queue_full(open_, wait_for_one_more());
  if (++open_ == open_max_ && !full_since_) {
    full_since_ = Clock::now();
    full_here_ = true;
  }
  return Place(this);
}

std::chrono::milliseconds Admission::turn_away(Place place) {
  place.release();
  const std::lock_guard lock(mutex_);
  --open_;
  if (!full_since_) {
    full_since_ = Clock::now();
    full_here_ = false;
  }
  const auto wait = wait_for_one_more();
  settle();
  return wait;
}

void Admission::give_back(Place place) {
  place.release();
  const std::lock_guard lock(mutex_);
  // Where it was the last place there is room again; that a shard is full is still so.
  const bool last = open_-- == open_max_;
  if (last && full_here_) full_since_.reset();
  settle();
}

/// When nobody is left whose end would tell.
void Admission::settle() {
  if (open_ > 0) return;
  full_since_.reset();
  refused_ = 0;
}

void Admission::end(Place place, ApiError& error) {
  if (!place) return;
  if (error.reason == "QUEUE_FULL")
    error.retry_after = turn_away(std::move(place));
  else if (frees_nothing(error))
    give_back(std::move(place));
}

std::chrono::milliseconds Admission::wait_for_one_more() {
  const auto wait = between_ * static_cast<double>(++refused_);
  return std::chrono::duration_cast<std::chrono::milliseconds>(
      std::clamp(wait, kWaitMin, kWaitMax));
}

void Admission::leave(Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  refused_ = 0;
  --open_;
  if (!full_since_) return;  // nobody waited for this place
  const std::chrono::duration<double> newest = now - *std::exchange(full_since_, std::nullopt);
  between_ = between_.count() == 0 ? newest : between_ * (1 - kNewest) + newest * kNewest;
}

std::int64_t Admission::open() const {
  const std::lock_guard lock(mutex_);
  return open_;
}

}  // namespace troupe::services
