// Initialises UCX with the settings that make peer failures visible.
#include "transport/ucx/ucx_context.hpp"

#include <ucp/api/ucp.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "transport/descriptors.hpp"
#include "transport/ucx/ucx_error.hpp"

namespace troupe::transport {

namespace {

// Longer than any meeting takes, a frozen peer's included.
constexpr std::chrono::seconds kRetirement{30};
// A worker over shared memory and tcp has 10 descriptors open on a machine with two interfaces.
constexpr std::size_t kWorkerDescriptors = 16;
constexpr std::size_t kRetiredMax = 256;

/// A quarter of what the process may have open.
std::size_t retired_max(const DescriptorUse& use) {
  return std::clamp<std::size_t>(use.limit / 4 / kWorkerDescriptors, 2, kRetiredMax);
}

}  // namespace

bool has_rdma_device() {
  std::error_code ignored;
  const std::filesystem::path devices("/sys/class/infiniband");
  return std::filesystem::exists(devices, ignored) &&
         !std::filesystem::is_empty(devices, ignored) && !ignored;
}

std::vector<std::pair<std::string, std::string>> ucx_defaults(bool rdma_device) {
  return {
      {"TLS", rdma_device ? "posix,cma,tcp,ib" : "posix,cma,tcp"},
      // Without it an endpoint with error handling silently runs over tcp instead of shared memory.
      {"MM_ERROR_HANDLING", "y"},
      // With UCX's default a death over shared memory is reported after 20 s.
      {"KEEPALIVE_INTERVAL", "100ms"},
  };
}

Expected<std::unique_ptr<UcxContext>> UcxContext::make(UcxSettings settings, BufferPool& pool) {
  std::map<std::string, std::string> options;
  for (const auto& [name, value] : ucx_defaults(has_rdma_device())) options[name] = value;
  for (const auto& [name, value] : settings.options) options[name] = value;
  for (const auto& name : settings.set_by_user) options.erase(name);
  // UCX warns about an option of a transport that it may not use.
  if (options.contains("TLS") && options["TLS"].find("posix") == std::string::npos)
    options.erase("MM_ERROR_HANDLING");

  if (settings.retired_max == 0) settings.retired_max = retired_max(descriptor_use());
  std::unique_ptr<UcxContext> context(new UcxContext(std::move(settings), pool));
  ucp_config_t* config = nullptr;
  if (const auto status = ucp_config_read(nullptr, nullptr, &config); status != UCS_OK)
    return unexpected(ucx_error("UCX cannot read its configuration", status));
  const std::unique_ptr<ucp_config_t, void (*)(ucp_config_t*)> owner(config, &ucp_config_release);
  for (const auto& [name, value] : options) {
    const auto status = ucp_config_modify(config, name.c_str(), value.c_str());
    if (status != UCS_OK)
      return unexpected(Errc::invalid_argument, "UCX refuses the option " + name + "=" + value +
                                                    ": " + ucs_status_string(status));
    context->applied_.push_back(name + "=" + value);
  }
  ucp_params_t params{};
  params.field_mask = UCP_PARAM_FIELD_FEATURES | UCP_PARAM_FIELD_MT_WORKERS_SHARED;
  params.features = UCP_FEATURE_AM | UCP_FEATURE_WAKEUP;  // without WAKEUP there is no event fd
  params.mt_workers_shared = 0;                           // one context per loop: no locks inside
  const auto status = ucp_init(&params, config, &context->handle_);
  if (status != UCS_OK) return unexpected(with_descriptors(ucx_error("UCX cannot start", status)));
  return context;
}

void UcxContext::retire(ucp_worker_h worker, bool shared_memory) {
  reap();
  if (!shared_memory) return ucp_worker_destroy(worker);
  ucp_am_handler_param_t handler{};  // nothing may reach the link any more
  handler.field_mask = UCP_AM_HANDLER_PARAM_FIELD_ID | UCP_AM_HANDLER_PARAM_FIELD_CB;
  handler.id = kFrameId;
  (void)ucp_worker_set_am_recv_handler(worker, &handler);
  retired_.emplace_back(std::chrono::steady_clock::now(), worker);
  while (retired_.size() > settings_.retired_max) destroy_oldest();
}

void UcxContext::destroy_oldest() {
  ucp_worker_destroy(retired_.front().second);
  retired_.pop_front();
}

bool UcxContext::drop_retired() {
  const bool any = !retired_.empty();
  while (!retired_.empty()) destroy_oldest();
  return any;
}

void UcxContext::reap() {
  const auto now = std::chrono::steady_clock::now();
  while (!retired_.empty() && now - retired_.front().first >= kRetirement) destroy_oldest();
}

UcxContext::~UcxContext() {
  drop_retired();
  if (handle_ != nullptr) ucp_cleanup(handle_);
}

}  // namespace troupe::transport
