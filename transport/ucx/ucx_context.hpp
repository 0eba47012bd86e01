// What the UCX links of one loop share: UCX's context, our settings of it, and the buffer pool.
#pragma once
#include <chrono>
#include <cstddef>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/expected.hpp"
#include "transport/buffer_pool.hpp"

// UCX's handle types, so that this header needs none of its headers.
typedef struct ucp_context* ucp_context_h;
typedef struct ucp_worker* ucp_worker_h;

namespace troupe::transport {

/// The one active message id: frames tell their kinds apart by themselves.
inline constexpr unsigned kFrameId = 1;

struct UcxSettings {
  /// UCX options without the prefix, e.g. {"TLS", "tcp"}; they replace the compiled-in ones.
  std::vector<std::pair<std::string, std::string>> options;
  /// Names (without UCX_) that the user has set in the environment: they win over both.
  std::vector<std::string> set_by_user;
  std::size_t frames_in_flight_max = 256;        // per link, sent and not yet completed
  std::size_t bytes_in_flight_max = 256u << 20;  // likewise; one frame is always taken
  std::size_t retired_max = 0;  // workers kept after their links; 0: as descriptors allow
};

/// The options every link is made with: error handling that reports dead peers (design 3, each
/// measured by killing and stopping peers under traffic), and `ib` where `rdma_device` (untested).
std::vector<std::pair<std::string, std::string>> ucx_defaults(bool rdma_device);

/// Whether this machine lists an RDMA device.
bool has_rdma_device();

/// Costs tens of milliseconds to make.
/// *Threading*: made, used and destroyed on the loop that owns the links; they must die before it.
class UcxContext {
 public:
  /// *Errors*: an option value that UCX refuses is `invalid_argument` and named (names it does not
  /// know it only warns about); `unsupported` when none of the transports is available.
  static Expected<std::unique_ptr<UcxContext>> make(UcxSettings settings, BufferPool& pool);
  UcxContext(const UcxContext&) = delete;
  ~UcxContext();

  ucp_context_h handle() const { return handle_; }
  const UcxSettings& settings() const { return settings_; }
  BufferPool& pool() { return pool_; }
  /// `NAME=value` of every option that was set, for the log.
  const std::vector<std::string>& applied() const { return applied_; }

  /// Destroys the worker of a closed link. One whose address may be opened as shared memory is kept
  /// for half a minute first: a peer opens such memory by the number of our descriptor (through
  /// /proc), and a late one would map whatever has got that number since, and die of SIGBUS. Past
  /// retired_max the oldest go early: whoever still wanted to open them is the least likely to.
  void retire(ucp_worker_h worker, bool shared_memory);
  /// Destroys retired workers whose time is over.
  void reap();
  /// Destroys all retired workers; false: there was none.
  bool drop_retired();

 private:
  UcxContext(UcxSettings settings, BufferPool& pool)
      : settings_(std::move(settings)), pool_(pool) {}
  void destroy_oldest();

  UcxSettings settings_;
  BufferPool& pool_;
  ucp_context_h handle_ = nullptr;
  std::vector<std::string> applied_;
  std::deque<std::pair<std::chrono::steady_clock::time_point, ucp_worker_h>> retired_;
};

}  // namespace troupe::transport
