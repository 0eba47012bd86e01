// What every polled role is to the loop that drives it, and what the loop lends it. No CAF here.
#pragma once
#include <memory>
#include <optional>

#include "actors/compute_lane.hpp"
#include "actors/local_wire.hpp"
#include "actors/peers.hpp"
#include "kernels/engine.hpp"

namespace troupe::actors {

/// What a role is given at birth.
struct RoleContext {
  transport::Credentials credentials;
  PeersSettings peers;
  std::shared_ptr<LocalWire> wire;
  ComputeLane::Submit compute;
  kernels::Engine engine;
  std::size_t jobs_max = 64;
};

/// A role without its thread: driven by `poll` from an actor's loop, or by a test that also owns
/// the time.
///
/// *Threading*: one thread, construction and destruction included. Nothing blocks and nothing
/// computes, except the destructor, which waits for the role's own compute jobs.
class Role : protected Peers::Events {
 public:
  explicit Role(const RoleContext& context)
      : wire_(context.wire),
        self_(peer_id(context.credentials.role, context.credentials.index)),
        bell_(context.wire->bell(self_)),
        engine_(context.engine),
        peers_(context.credentials, context.peers, context.wire->buffers(), *this),
        compute_(context.compute, bell_, context.jobs_max) {}
  Role(const Role&) = delete;
  ~Role() override = default;

  PeerId self() const { return self_; }
  transport::Doorbell& bell() { return bell_; }
  Peers& peers() { return peers_; }

  /// One pass: frames, finished jobs, deadlines, new work. True: there was something to do.
  bool poll(TimePoint now) {
    now_ = now;
    took_frames_ = takes_frames();
    bool busy = took_frames_ && peers_.progress(now);
    busy |= compute_.drain();
    busy |= work();
    return busy;
  }
  /// Last call before sleeping; false when something came meanwhile.
  bool arm() { return (!takes_frames() || peers_.arm()) && compute_.arm(); }
  /// When to poll again at the latest; nothing: only when the bell rings.
  std::optional<TimePoint> next_deadline() const {
    auto next = peers_.next_deadline();
    const auto sooner = [&](std::optional<TimePoint> other) {
      if (other && (!next || *other < *next)) next = other;
    };
    sooner(role_deadline());
    if (compute_.crowded_out()) sooner(now_ + kPoolRetry);
    return next;
  }
  /// Says goodbye to every peer and waits for its jobs; poll must not be called any more.
  void stop() {
    compute_.abandon();
    peers_.drop_all({Errc::unavailable, name_of(self_) + " stops"});
  }

 protected:
  /// Deadlines and new work of the role; after frames and completions.
  virtual bool work() = 0;
  virtual std::optional<TimePoint> role_deadline() const = 0;

  /// False holds arriving frames back; whoever makes it true again rings the bell.
  virtual bool takes_frames() const { return true; }
  /// Whether this pass looked at frames: only then is a peer's silence its own.
  bool took_frames() const { return took_frames_; }

  TimePoint now() const { return now_; }

  static constexpr std::chrono::milliseconds kPoolRetry{1};
  std::shared_ptr<LocalWire> wire_;
  PeerId self_;
  transport::Doorbell& bell_;
  kernels::Engine engine_;
  Peers peers_;
  ComputeLane compute_;  // after what its jobs use
  TimePoint now_{};
  bool took_frames_ = true;
};

}  // namespace troupe::actors
