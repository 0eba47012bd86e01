// What every polled role is to the loop that drives it, and what the loop lends it. No CAF here.
#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "actors/compute_lane.hpp"
#include "actors/local_wire.hpp"
#include "actors/peer_standing.hpp"
#include "actors/peers.hpp"
#include "actors/role_pulse.hpp"
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
  /// Work that is estimated shorter runs on the loop (see Role::run); 0: everything to the pool.
  std::chrono::microseconds inline_us_max{200};
  std::shared_ptr<RolePulse> pulse = std::make_shared<RolePulse>();              // one per role
  std::shared_ptr<PeerStandings> standings = std::make_shared<PeerStandings>();  // likewise
};

/// A role without its thread: driven by `poll` from an actor's loop, or by a test that also owns
/// the time.
///
/// *Threading*: one loop, construction and destruction included: whoever has the bell's turn, so
/// nothing may be kept in a thread. Nothing blocks, and nothing computes for longer than
/// inline_us_max a pass, except the destructor, which waits for the role's own compute jobs.
class Role : protected Peers::Events {
 public:
  explicit Role(const RoleContext& context)
      : wire_(context.wire),
        self_(peer_id(context.credentials.role, context.credentials.index)),
        bell_(context.wire->bell(self_)),
        engine_(context.engine),
        peers_(context.credentials, context.peers, context.wire->buffers(), *this),
        compute_(context.compute, bell_, context.jobs_max),
        pulse_(context.pulse),
        standings_(context.standings),
        inline_us_max_(context.inline_us_max) {
    peers_.set_watcher([this](PeerId peer, const Error* lost) { note_link(peer, lost); });
  }
  Role(const Role&) = delete;
  ~Role() override = default;

  PeerId self() const { return self_; }
  transport::Doorbell& bell() { return bell_; }
  Peers& peers() { return peers_; }
  /// Told after this role has noted it, of joins and of ends of joined links.
  void set_link_watcher(Peers::Watcher watcher) { link_watcher_ = std::move(watcher); }

  /// One pass: frames, finished jobs, deadlines, new work. True: there was something to do.
  bool poll(TimePoint now) {
    now_ = now;
    inline_spent_ = {};
    took_frames_ = takes_frames();
    bool busy = took_frames_ && peers_.progress(now);
    for (int round = 0; round < kRoundsMax; ++round) {
      busy |= compute_.drain();
      busy |= work();
      if (!compute_.ran_here()) break;  // else its results go out in this pass
    }
    if (busy) pulse_->step();
    if (now - load_told_ >= kLoadPeriod) {
      // A loop that looks at open work makes progress; a computation may take long.
      if (!busy) pulse_->step();
      tell_load();
    }
    return busy;
  }
  /// Last call before sleeping; false when something came meanwhile.
  bool arm() {
    tell_load();
    return (!takes_frames() || peers_.arm()) && compute_.arm();
  }
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
  /// When a loop with open work looks again, only to show that it is alive.
  std::optional<TimePoint> next_look() const {
    return loaded_ ? std::optional(load_told_ + kLookPeriod) : std::nullopt;
  }
  /// As if every peer had been lost, so all work is dropped; goes on under another incarnation.
  void rejoin(std::uint64_t incarnation, TimePoint now) {
    now_ = now;
    peers_.rejoin(incarnation, {Errc::unavailable, name_of(self_) + " rejoins its cluster"});
  }
  /// Says goodbye to every peer and waits for its jobs; poll must not be called any more.
  void stop() {
    link_watcher_ = {};  // what ends now was not lost
    compute_.abandon();
    peers_.drop_all({Errc::unavailable, name_of(self_) + " stops"});
  }

 protected:
  /// Deadlines and new work of the role; after frames and completions.
  virtual bool work() = 0;
  virtual std::optional<TimePoint> role_deadline() const = 0;

  /// What is open, for heartbeats.
  virtual RoleLoad load() const { return {}; }

  /// False holds arriving frames back; whoever makes it true again rings the bell.
  virtual bool takes_frames() const { return true; }
  /// Whether this pass looked at frames: only then is a peer's silence its own.
  bool took_frames() const { return took_frames_; }

  TimePoint now() const { return now_; }

  /// Work of about so many multiply-adds, on the loop if it is short, else on the pool; `done` is
  /// called on the loop, never from here.
  void run(std::int64_t multiply_adds, ComputeLane::Work work, ComputeLane::Work done) {
    const auto estimate = kHandling + std::chrono::microseconds(multiply_adds / kMultiplyAddsPerUs);
    if (inline_spent_ + estimate > inline_us_max_)
      return compute_.post(std::move(work), std::move(done));
    inline_spent_ += estimate;
    compute_.run_here(work, std::move(done));
  }

  void tell_load() {
    load_told_ = now_;
    const auto load = this->load();
    loaded_ = load.oldest_work.has_value();
    pulse_->set_load(load);
  }
  void note_link(PeerId peer, const Error* lost) {
    if (lost != nullptr)
      pulse_->lost(peer);
    else
      pulse_->joined(peer, peers_.greeting(peer)->peer.incarnation);
    if (link_watcher_) link_watcher_(peer, lost);
  }

  /// A fourth of what one thread reaches with one row and BF16 weights from memory (16 GB/s,
  /// docs/performance.md): loops share their cores with others.
  static constexpr std::int64_t kMultiplyAddsPerUs = 2000;
  static constexpr std::chrono::microseconds kHandling{5};  // of any work: buffers, scratch
  static constexpr int kRoundsMax = 4;                      // then links and mail have their turn
  static constexpr std::chrono::milliseconds kPoolRetry{1};
  static constexpr std::chrono::milliseconds kLoadPeriod{20};
  static constexpr std::chrono::milliseconds kLookPeriod{100};  // while work is open
  std::shared_ptr<LocalWire> wire_;
  PeerId self_;
  transport::Doorbell& bell_;
  kernels::Engine engine_;
  Peers peers_;
  ComputeLane compute_;  // after what its jobs use
  std::shared_ptr<RolePulse> pulse_;
  std::shared_ptr<const PeerStandings> standings_;
  Peers::Watcher link_watcher_;
  TimePoint load_told_{};
  bool loaded_ = false;
  TimePoint now_{};
  bool took_frames_ = true;
  std::chrono::microseconds inline_us_max_;
  std::chrono::microseconds inline_spent_{};  // in this pass, as estimated
};

}  // namespace troupe::actors
