// The gateway's links: picks a shard for each request and brings its tokens home. No CAF here.
//
// What it does when a peer disappears:
//  - an attention shard (lost, or silent for `silence_budget` while it has work of ours): its
//    sessions are told and replay prompt + generated tokens on another shard; without one they end
//    with `unavailable`.
//  - a session: its request is cancelled on the shard.
//  - itself: the shards remove its sequences when its lease ends. A gateway that was frozen for
//    longer learns from the echo of its next lease which requests the shard no longer has, and
//    replays them.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "actors/gateway/session_core.hpp"
#include "actors/gateway/shard_picker.hpp"
#include "actors/role.hpp"
#include "core/expected.hpp"

namespace troupe::actors {

struct GatewaySettings {
  std::chrono::milliseconds lease{60000};  // a shard drops our sequences when not renewed for it
  std::chrono::milliseconds lease_period{1000};
  std::chrono::milliseconds silence_budget{60000};  // a shard answers leases, or counts as lost
  std::size_t requests_max = 4096;                  // open at once; beyond: `overloaded`
  std::int64_t unread_bytes_max = 256 << 20;        // logits that sessions have not looked at yet
};

struct GatewayStatus {
  std::int64_t requests_open = 0;
  std::int64_t requests_queued = 0;  // of them, those no shard has computed anything for yet
  std::int64_t requests_total = 0;
  std::int64_t replays_total = 0;
  std::int64_t shards = 0;
  std::int64_t stale_frames_total = 0;
};

class GatewayRole : public Role {
 public:
  /// Where notes go, called from poll(). Every accepted attempt ends with a finishing TokensNote
  /// or a BrokenNote, unless it is cancelled.
  struct Sink {
    virtual ~Sink() = default;
    virtual void on_tokens(RequestId request, TokensNote note) = 0;
    virtual void on_logits(RequestId request, LogitsNote note) = 0;
    virtual void on_prompt_logprobs(RequestId request, PromptLogprobsNote note) = 0;
    virtual void on_broken(RequestId request, BrokenNote note) = 0;
  };

  /// `sink` must outlive the role.
  GatewayRole(const RoleContext& context, GatewaySettings settings, Sink& sink);
  ~GatewayRole() override { stop(); }

  /// Sends one attempt to the shard that ShardPicker picks of those that the director likes best. A
  /// DRAINING one gets replays only, where there is no other.
  /// *Errors*: `unavailable` without a shard (the detail names the last one), `overloaded` past
  /// requests_max, `invalid_argument` when a frame cannot carry it.
  Expected<void> submit(const SubmitOrder& order, TimePoint now);
  void cancel(RequestId request);
  std::vector<RequestId> open_requests() const;
  GatewayStatus status() const;

 private:
  struct Open {
    std::uint32_t attempt = 0;
    PeerId shard = 0;
    std::int64_t tokens = 0;  // prompt, and what was generated
    std::int64_t left = 0;    // that may still be generated
    bool queued = true;       // nothing was computed yet
    proto::FrameHeader header;
    TimePoint began{};
    std::uint64_t first_leased = 0;  // number of the first lease that named it; 0: none yet
  };
  struct Shard {
    TimePoint heard;
    TimePoint lease_due;
    std::uint64_t leases_sent = 0;
    std::int64_t others_tokens = 0;  // open there for other gateways, as its last echo said
    TimePoint others_at{};           // when it said so
  };

  void on_joined(PeerId peer) override;
  void on_frame(PeerId peer, transport::ReceivedFrame&& frame) override;
  void on_lost(PeerId peer, const Error& why) override;
  bool work() override;
  std::optional<TimePoint> role_deadline() const override;
  RoleLoad load() const override;
  bool takes_frames() const override;

  Expected<PeerId> pick_shard(const SubmitOrder& order);
  ShardPicker::Loads loads(std::span<const PeerId> shards) const;
  std::int64_t own_tokens(PeerId shard) const;
  void close(std::map<RequestId, Open>::iterator open);
  bool has_requests(PeerId shard) const;
  void send_lease(PeerId shard);
  void on_lease_echo(PeerId shard, const transport::ReceivedFrame& frame);
  void deliver_tokens(RequestId request, const Open& open, const transport::ReceivedFrame& frame);
  void deliver_logprobs(RequestId request, const Open& open, const transport::ReceivedFrame& frame);
  void deliver_logits(RequestId request, const Open& open, transport::ReceivedFrame&& frame);

  GatewaySettings settings_;
  Sink& sink_;
  ShardPicker picker_;
  std::map<RequestId, Open> open_;
  std::map<PeerId, Shard> shards_;
  std::shared_ptr<std::atomic<std::int64_t>> unread_bytes_;
  std::string last_gone_;  // why the shard that was lost last was
  std::int64_t requests_total_ = 0;
  std::int64_t replays_total_ = 0;
};

}  // namespace troupe::actors
