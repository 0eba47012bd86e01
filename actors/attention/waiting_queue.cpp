// The order of those that wait.
#include "actors/attention/waiting_queue.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "core/check.hpp"

namespace troupe::actors {
namespace {

bool is_replay(const Sequence& sequence) { return sequence.asked.attempt > 0 && !sequence.started; }

}  // namespace

Expected<OwnedSequence> WaitingQueue::push(OwnedSequence sequence, TimePoint now) {
  if (is_replay(*sequence)) {
    push_back(std::move(sequence), now);
    return OwnedSequence{};
  }
  const auto priority = sequence->asked.priority;
  const auto tenant = sequence->asked.tenant;
  OwnedSequence dropped;
  if (fresh_ >= settings_.waiting_max) {
    std::size_t own = 0;
    for (const auto& [level, one] : classes_)
      if (const auto waits = one.tenants.find(tenant); waits != one.tenants.end())
        own += waits->second.size();
    dropped = drop_newest(own + 1, priority);
    if (!dropped)
      return unexpected(Errc::overloaded, std::to_string(fresh_) +
                                              " requests wait already (waiting_max); try again "
                                              "later");
  }
  note_arrival(priority, now);
  classes_[priority].tenants[tenant].push_back(std::move(sequence));
  ++fresh_;
  return dropped;
}

OwnedSequence WaitingQueue::drop_newest(std::size_t more_than, std::int32_t priority) {
  std::map<std::uint64_t, std::pair<std::size_t, std::deque<OwnedSequence>*>> waiting;
  for (auto& [level, one] : classes_)  // ascending, so the least urgent of a tenant are met first
    for (auto& [tenant, queue] : one.tenants) {
      auto& [count, least] = waiting[tenant];
      count += queue.size();
      if (least == nullptr && !queue.empty() && level <= priority) least = &queue;
    }
  const auto most = std::max_element(
      waiting.begin(), waiting.end(),
      [](const auto& a, const auto& b) { return a.second.first < b.second.first; });
  if (most == waiting.end() || most->second.first <= more_than || most->second.second == nullptr)
    return nullptr;
  auto& queue = *most->second.second;
  auto dropped = std::move(queue.back());
  queue.pop_back();
  --fresh_;
  tidy();
  return dropped;
}

void WaitingQueue::push_back(OwnedSequence sequence, TimePoint now) {
  note_arrival(sequence->asked.priority, now);
  front_.push_back(std::move(sequence));
}

void WaitingQueue::note_arrival(std::int32_t priority, TimePoint now) {
  const auto [entry, fresh] = classes_.try_emplace(priority);
  if (fresh) entry->second.passed_since = now;
}

/// Classes nobody waits in are forgotten, and with them how long they have.
void WaitingQueue::tidy() {
  for (auto& [priority, one] : classes_)
    std::erase_if(one.tenants, [](const auto& tenant) { return tenant.second.empty(); });
  std::erase_if(classes_, [this](const auto& entry) {
    return entry.second.tenants.empty() &&
           std::none_of(front_.begin(), front_.end(), [&](const OwnedSequence& waits) {
             return waits->asked.priority == entry.first;
           });
  });
}

bool WaitingQueue::passed_over(const Sequence& sequence) const {
  return std::find(passed_over_.begin(), passed_over_.end(), sequence.serial) != passed_over_.end();
}

std::int64_t WaitingQueue::class_urgency(std::int32_t priority, TimePoint now) const {
  const auto one = classes_.find(priority);
  if (one == classes_.end()) return priority;
  return priority + (now - one->second.passed_since) / settings_.aging;
}

std::int64_t WaitingQueue::urgency(const Sequence& sequence, TimePoint now) const {
  const auto own = class_urgency(sequence.asked.priority, now);
  return sequence.started ? std::max(own, sequence.standing) : own;
}

Sequence* WaitingQueue::best_of(const Class& one) const {
  Sequence* best = nullptr;
  std::int64_t best_served = 0;
  for (const auto& [tenant, queue] : one.tenants) {
    const auto next = std::find_if(queue.begin(), queue.end(),
                                   [this](const OwnedSequence& s) { return !passed_over(*s); });
    if (next == queue.end()) continue;
    const auto served = shares_.served(tenant);
    const bool better = best == nullptr || served < best_served ||
                        (served == best_served && (*next)->serial < best->serial);
    if (!better) continue;
    best = next->get();
    best_served = served;
  }
  return best;
}

Sequence* WaitingQueue::best_of_front(TimePoint now) const {
  Sequence* best = nullptr;
  for (const auto& waits : front_) {
    if (passed_over(*waits)) continue;
    if (is_replay(*waits)) return waits.get();  // in order of arrival
    const auto order = [&](const Sequence& s) { return std::pair(-urgency(s, now), s.serial); };
    if (best == nullptr || order(*waits) < order(*best)) best = waits.get();
  }
  return best;
}

Sequence* WaitingQueue::best(TimePoint now) const {
  Sequence* first = best_of_front(now);
  if (first != nullptr && is_replay(*first)) return first;
  Sequence* fresh = nullptr;
  std::int64_t best_urgency = 0;
  for (const auto& [priority, one] : classes_) {
    const auto urgent = class_urgency(priority, now);
    if (fresh != nullptr && urgent < best_urgency) continue;  // equal: the higher priority
    Sequence* candidate = best_of(one);
    if (candidate == nullptr) continue;
    fresh = candidate;
    best_urgency = urgent;
  }
  if (first == nullptr || fresh == nullptr) return first == nullptr ? fresh : first;
  return urgency(*first, now) >= best_urgency ? first : fresh;
}

OwnedSequence WaitingQueue::take(const Sequence& sequence, TimePoint now) {
  const auto pull = [&](auto& queue) {
    const auto place = std::find_if(queue.begin(), queue.end(),
                                    [&](const OwnedSequence& s) { return s.get() == &sequence; });
    TROUPE_CHECK(place != queue.end(), "who starts has waited");
    auto taken = std::move(*place);
    queue.erase(place);
    return taken;
  };
  auto& own = classes_.at(sequence.asked.priority);
  own.passed_since = now;
  const bool in_front = sequence.started || is_replay(sequence);
  if (!in_front) --fresh_;
  auto taken = in_front ? pull(front_) : pull(own.tenants.at(sequence.asked.tenant));
  tidy();
  return taken;
}

std::vector<OwnedSequence> WaitingQueue::remove_if(
    const std::function<bool(const Sequence&)>& leaves) {
  std::vector<OwnedSequence> gone;
  const auto extract = [&](auto& queue) {
    for (auto& waits : queue)
      if (leaves(*waits)) gone.push_back(std::move(waits));
    std::erase_if(queue, [](const OwnedSequence& waits) { return waits == nullptr; });
  };
  extract(front_);
  const auto from_front = gone.size();
  for (auto& [priority, one] : classes_)
    for (auto& [tenant, queue] : one.tenants) extract(queue);
  fresh_ -= gone.size() - from_front;
  if (!gone.empty()) tidy();
  return gone;
}

void WaitingQueue::for_each(const std::function<void(const Sequence&)>& visit) const {
  for (const auto& waits : front_) visit(*waits);
  for (const auto& [priority, one] : classes_)
    for (const auto& [tenant, queue] : one.tenants)
      for (const auto& waits : queue) visit(*waits);
}

}  // namespace troupe::actors
