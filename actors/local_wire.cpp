// Links between loops of one process.
#include "actors/local_wire.hpp"

namespace troupe::actors {

transport::Doorbell& LocalWire::bell(PeerId loop) {
  std::lock_guard lock(mutex_);
  auto& bell = bells_[loop];
  if (!bell) bell = std::make_unique<transport::Doorbell>();
  return *bell;
}

void LocalWire::set_faults(PeerId from, PeerId to, std::shared_ptr<transport::FaultPlan> plan) {
  std::lock_guard lock(mutex_);
  faults_[{from, to}] = std::move(plan);
}

transport::InprocPair LocalWire::connect(PeerId a, PeerId b) {
  auto& bell_a = bell(a);
  auto& bell_b = bell(b);
  transport::InprocSettings settings;
  {
    std::lock_guard lock(mutex_);
    if (auto plan = faults_.find({a, b}); plan != faults_.end())
      settings.faults_a_to_b = plan->second;
    if (auto plan = faults_.find({b, a}); plan != faults_.end())
      settings.faults_b_to_a = plan->second;
  }
  return transport::make_inproc_pair(bell_a, bell_b, buffers_, settings);
}

}  // namespace troupe::actors
