// Terms: when to claim the next one and when to give ours up.
#include "actors/director/election.hpp"

#include <algorithm>

namespace troupe::actors {
namespace {

constexpr unsigned kIndexBits = 16;
/// A term beyond is no count of elections: nobody may use the numbers up.
constexpr std::uint64_t kNumberMax = std::uint64_t{1} << 40;
/// The grace doubles so often at most: 2^4 * 3 s = 48 s.
constexpr unsigned kDoublingsMax = 4;

std::uint64_t number_of(std::uint64_t term) { return term >> kIndexBits; }
std::uint32_t index_of_term(std::uint64_t term) {
  return static_cast<std::uint32_t>(term & ((1u << kIndexBits) - 1));
}

}  // namespace

Election::Election(Settings settings, TimePoint now) : settings_(settings), waiting_since_(now) {}

void Election::saw(std::uint64_t term, TimePoint now) {
  if (number_of(term) > kNumberMax || term <= highest_) return;
  highest_ = term;
  if (term_ == 0 || term <= term_) return;
  if (index_of_term(term) == settings_.router_index)
    take_next_term();  // an earlier life of ours; there is no rival
  else
    stand_down(now);
}

void Election::saw_before_our_time(std::uint64_t term, TimePoint now) {
  saw(term, now);
  if (term_ != 0 && term == term_) take_next_term();
}

bool Election::decide(std::span<const RouterView> others, TimePoint now) {
  bool claimed = false;
  bool lowest = true;
  for (const auto& other : others)
    if (other.live) saw(other.claim, now);
  for (const auto& other : others) {
    if (!other.live) continue;
    if (other.has_beaten) heard_.insert(other.index);
    claimed |= other.claim != 0;
    lowest &= other.index > settings_.router_index;
  }
  if (term_ == 0 && !claimed && lowest) {
    const auto grace = settings_.grace * (1u << std::min(stood_down_, kDoublingsMax));
    const bool all_heard = heard_.size() + 1 >= settings_.routers_count;
    if (all_heard || now - waiting_since_ >= grace) take_next_term();
  }
  if (term_ != 0 && !claimed && heard_.size() + 1 >= settings_.routers_count) stood_down_ = 0;
  return std::exchange(decided_, term_) != term_;
}

void Election::stand_down(TimePoint now) {
  term_ = 0;
  heard_.clear();
  waiting_since_ = now;
  ++stood_down_;
}

void Election::take_next_term() {
  const auto highest = std::max(highest_, term_);
  term_ = ((number_of(highest) + 1) << kIndexBits) | settings_.router_index;
  highest_ = term_;
}

}  // namespace troupe::actors
