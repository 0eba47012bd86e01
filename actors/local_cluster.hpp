// All roles of a cluster inside this process, as the command line uses them. No CAF in here.
#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include "actors/attention/micro_batching.hpp"
#include "actors/peer_id.hpp"
#include "actors/request.hpp"
#include "actors/request_engine.hpp"
#include "actors/role_statuses.hpp"
#include "core/expected.hpp"
#include "kernels/registry.hpp"
#include "model/checkpoint/checkpoint.hpp"
#include "model/expert_model.hpp"
#include "model/load_progress.hpp"
#include "model/numerics.hpp"
#include "model/placement.hpp"
#include "proto/frames/header.hpp"
#include "transport/credits.hpp"
#include "transport/fault_plan.hpp"

namespace troupe::actors {

struct ClusterSettings {
  int experts = 1;    // expert shards; expert e of E lives on floor(e * experts / E)
  int attention = 1;  // attention shards
  int routers = 1;
  bool colocated = false;  // attention shard i uses router i only; as many routers as shards
  model::ActivationMode mode = model::ActivationMode::bf16;
  model::KvCache kv_cache = model::KvCache::automatic;
  const kernels::KernelTable* table = nullptr;  // null: the fastest level of this machine
  int threads = 0;                              // compute threads; 0: the cores of this process
  bool pin_threads = false;                     // each on a core of its own
  std::int64_t chunk = 512;                     // prompt tokens of one sequence in a step
  std::int64_t step_rows_max = 512;  // rows of a step over all sequences; at least `chunk`
  std::chrono::milliseconds prompt_budget{0};  // of a step in which others decode; 0: all of it
  std::int64_t kv_tokens_max = 0;  // cache of each attention shard; 0: as long as the model allows
  bool prefix_cache = true;        // prompts that begin alike share computed pages
  MicroBatching micro_batches = MicroBatching::never;
  std::size_t waiting_max = 1024;  // requests queued on a shard; beyond: `overloaded`
  std::int64_t frame_rows_max = proto::kRowsMax;  // rows of one work item
  transport::CreditGrant credits{512, 4096};      // rows each peer may have under way to a role
  std::chrono::microseconds poll_us{50};
  std::chrono::milliseconds hop_budget{60000};        // slow levels and sanitizers included
  std::chrono::milliseconds uncovered_budget{5000};   // wait for an expert nobody holds
  std::chrono::milliseconds start_budget{60000};      // for the roles to find each other
  std::shared_ptr<model::LoadProgress> loading = {};  // told how far `start` is; may be null
  std::vector<std::shared_ptr<model::LoadProgress>> loading_experts = {};  // by shard, or empty

  model::Numerics numerics() const { return {mode, kv_cache}; }
};

/// What only tests set.
struct ClusterHooks {
  struct LinkFaults {
    PeerId from = 0;
    PeerId to = 0;
    std::shared_ptr<transport::FaultPlan> plan;
  };
  std::vector<LinkFaults> faults;
  std::vector<model::ExpertModel::Range> expert_ranges;  // instead of the static ones, by shard
};

struct ClusterStatus {
  std::uint64_t numerics_id = 0;
  std::uint64_t term = 0;
  std::uint64_t epoch = 0;
  std::int64_t requests_open = 0;
  std::int64_t requests_total = 0;
  std::int64_t replays_total = 0;
  std::int64_t running = 0;
  std::int64_t waiting = 0;
  std::int64_t kv_pages_used = 0;
  std::int64_t kv_pages_max = 0;
  std::int64_t preemptions_total = 0;
  std::int64_t cached_tokens_total = 0;  // of prompts, not computed again
  std::int64_t steps_total = 0;
  std::int64_t cut_steps_total = 0;  // as two micro-batches
  std::int64_t work_items_total = 0;
  std::int64_t work_items_failed_total = 0;
  std::int64_t work_items_resent_total = 0;
  std::int64_t stale_frames_total = 0;
  std::int64_t derived_bytes = 0;           // copies made at load, beside the mapped weights
  std::vector<std::int64_t> expert_tokens;  // [layers * experts] pairs computed
};

/// *Threading*: any thread; `start`, `status`, `publish` and the destructor block.
class LocalCluster : public RequestEngine {
 public:
  /// Loads the weights, starts all roles and waits until they have met. `checkpoint` must outlive
  /// the cluster. *Errors*: those of the model's load functions; `invalid_argument` for settings
  /// out of range (more expert shards than experts, ...); `deadline_exceeded` past start_budget.
  static Expected<std::unique_ptr<LocalCluster>> start(const model::Checkpoint& checkpoint,
                                                       const ClusterSettings& settings,
                                                       ClusterHooks hooks = {});
  LocalCluster(const LocalCluster&) = delete;
  /// Cancels what is open (every listener hears on_finished) and joins all threads.
  ~LocalCluster() override;

  Expected<RequestId> submit(GenerateRequest request,
                             std::shared_ptr<RequestListener> listener) override;
  void cancel(RequestId request) override;
  /// Always ok: `start` has waited for everybody.
  Readiness readiness() const override;
  std::uint64_t numerics_id() const override;
  ClusterStatus status() const;
  /// Every role by itself, and the links between them. Blocks, bounded.
  RoleStatuses roles() const;

  /// Puts the next epoch in force. *Errors*: those of DirectorCore::publish.
  Expected<std::uint64_t> publish(model::Placement placement);
  /// Ends one actor at once, as a crash would. For tests.
  void kill(PeerId actor);

 private:
  struct Impl;
  explicit LocalCluster(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace troupe::actors
