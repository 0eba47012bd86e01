// Faults that tests order for one direction of in-process links: seeded, so that a run repeats.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "proto/frames/header.hpp"

namespace troupe::transport {

enum class Fault : std::uint8_t {
  none,
  drop,       // never arrives
  duplicate,  // arrives twice
  delay,      // held back until release_delayed(); later frames overtake it
  corrupt,    // one byte of the header changed: the receiver must call it malformed
  lose_peer,  // the connection breaks with this frame, and what is under way is gone
};

/// Which frames a fault meets.
struct FaultRule {
  Fault fault = Fault::none;
  std::optional<proto::FrameKind> kind;  // any kind when absent
  std::uint32_t skip = 0;                // matching frames that pass first
  std::uint32_t times = 1;               // then how many are hit; 0: all from there on
  double probability = 1;                // of each of those being hit, by the seeded generator
};

/// What a plan acts on when a test changes it: the channel of a link.
class FaultTarget {
 public:
  virtual ~FaultTarget() = default;
  virtual void set_frozen(bool frozen) = 0;
  virtual void release_delayed() = 0;
  virtual void lose_peer() = 0;
};

/// One plan may serve several links; they share its rules and its generator.
/// *Threading*: any thread.
class FaultPlan {
 public:
  explicit FaultPlan(std::uint64_t seed) : random_(seed) {}

  /// Rules are asked in the order they were added; the first that hits decides.
  void add(FaultRule rule);
  void clear_rules();

  /// A stopped peer: sends are taken until the limit of frames under way, nothing is delivered,
  /// nothing is reported. `thaw` delivers what has gathered.
  void freeze();
  void thaw();
  /// Delivers delayed frames, in the order they were sent.
  void release_delayed();
  /// Cuts the connection: both ends see a loss, and what was under way is gone.
  void lose_peer();

  std::uint64_t faults_total() const;

  // Called by the link.
  void attach(std::weak_ptr<FaultTarget> target);
  Fault decide(proto::FrameKind kind);
  std::uint64_t random();

 private:
  struct Counted {
    FaultRule rule;
    std::uint32_t seen = 0;
  };
  void set_frozen(bool frozen);
  void for_each_target(const std::function<void(FaultTarget&)>& act);
  std::uint64_t next();

  mutable std::mutex mutex_;
  std::vector<Counted> rules_;
  std::vector<std::weak_ptr<FaultTarget>> targets_;
  std::uint64_t random_;
  std::uint64_t faults_total_ = 0;
  bool frozen_ = false;
};

}  // namespace troupe::transport
