// One line, or a number more in the next one.
#include "services/runtime/ports/stranger_log.hpp"

#include <chrono>
#include <optional>

namespace troupe::services {

void StrangerLog::tell(const Stranger& stranger) {
  std::optional<std::uint64_t> left_out;
  {
    const std::lock_guard lock(mutex_);
    auto& lines = ports_.try_emplace(std::string(stranger.port)).first->second;
    left_out = lines.admit(stranger.peer.host, std::chrono::steady_clock::now());
  }
  if (!left_out) return;
  LogFields fields{
      {"reason", stranger.reason}, {"port", stranger.port}, {"address", stranger.peer.text()}};
  if (*left_out > 0) fields.emplace_back("refusals_not_told", static_cast<std::int64_t>(*left_out));
  fields.emplace_back("detail", stranger.detail);
  log_.warning("stranger_refused", "", fields);
}

}  // namespace troupe::services
