// Rules and the seeded generator of FaultPlan.
#include "transport/fault_plan.hpp"

#include <utility>

namespace troupe::transport {

void FaultPlan::add(FaultRule rule) {
  std::lock_guard lock(mutex_);
  rules_.push_back({rule});
}

void FaultPlan::clear_rules() {
  std::lock_guard lock(mutex_);
  rules_.clear();
}

void FaultPlan::set_frozen(bool frozen) {
  {
    std::lock_guard lock(mutex_);
    frozen_ = frozen;
  }
  for_each_target([frozen](FaultTarget& target) { target.set_frozen(frozen); });
}
void FaultPlan::freeze() { set_frozen(true); }
void FaultPlan::thaw() { set_frozen(false); }

void FaultPlan::release_delayed() {
  for_each_target([](FaultTarget& target) { target.release_delayed(); });
}

void FaultPlan::lose_peer() {
  for_each_target([](FaultTarget& target) { target.lose_peer(); });
}

std::uint64_t FaultPlan::faults_total() const {
  std::lock_guard lock(mutex_);
  return faults_total_;
}

void FaultPlan::attach(std::weak_ptr<FaultTarget> target) {
  bool frozen;
  {
    std::lock_guard lock(mutex_);
    std::erase_if(targets_, [](const auto& old) { return old.expired(); });
    targets_.push_back(target);
    frozen = frozen_;
  }
  if (const auto held = target.lock(); held && frozen) held->set_frozen(true);
}

Fault FaultPlan::decide(proto::FrameKind kind) {
  std::lock_guard lock(mutex_);
  for (auto& [rule, seen] : rules_) {
    if (rule.kind && *rule.kind != kind) continue;
    const std::uint32_t number = seen++;
    if (number < rule.skip) continue;
    if (rule.times != 0 && number - rule.skip >= rule.times) continue;
    // 53 random bits as a number in [0, 1).
    if (rule.probability < 1 && static_cast<double>(next() >> 11) * 0x1p-53 >= rule.probability) {
      continue;
    }
    if (rule.fault != Fault::none) ++faults_total_;
    return rule.fault;
  }
  return Fault::none;
}

std::uint64_t FaultPlan::random() {
  std::lock_guard lock(mutex_);
  return next();
}

void FaultPlan::for_each_target(const std::function<void(FaultTarget&)>& act) {
  std::vector<std::weak_ptr<FaultTarget>> targets;
  {
    std::lock_guard lock(mutex_);
    targets = targets_;
  }
  for (const auto& target : targets) {
    if (const auto held = target.lock()) act(*held);
  }
}

/// SplitMix64.
std::uint64_t FaultPlan::next() {
  std::uint64_t z = (random_ += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

}  // namespace troupe::transport
