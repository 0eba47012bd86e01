// Who may ask now: keys, their rights, their limits, on every API alike.
#pragma once
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "services/gateway/api_error.hpp"
#include "services/gateway/api_keys.hpp"

namespace troupe::services {

/// *Threading*: any.
class Access {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Access(ApiKeys keys) : keys_(std::move(keys)) {}

  /// A call of one key under way; it counts until this goes. Must not outlive the Access.
  class Pass {
   public:
    Pass() = default;
    Pass(Access& access, const ApiKey& key)
        : access_(&access, End{key.name}), name_(key.name), priority_max_(key.priority_max) {}
    const std::string& key_name() const { return name_; }
    /// Nothing when the key may ask for `priority`, else INSUFFICIENT_PERMISSIONS with its bound.
    std::optional<ApiError> refuse_priority(std::int32_t priority) const {
      if (!priority_max_ || priority <= *priority_max_) return std::nullopt;
      return priority_denied(name_, priority, *priority_max_);
    }

   private:
    struct End {
      std::string name;
      void operator()(Access* access) const { access->end(name); }
    };
    std::unique_ptr<Access, End> access_{nullptr, End{}};
    std::string name_;
    std::optional<std::int32_t> priority_max_;
  };

  /// `authorization` is a header's value: "Bearer KEY". *Errors*: INVALID_API_KEY,
  /// INSUFFICIENT_PERMISSIONS, RATE_LIMIT_EXCEEDED. `right` null: any key will do.
  Answered<Pass> enter(std::string_view authorization, const Right* right,
                       Clock::time_point now = Clock::now());
  /// Other keys from now on. Counts of names that stay go on.
  void replace(ApiKeys keys);

 private:
  struct Use {
    double requests = 0;  // that may begin now; grows with time up to a minute's worth
    Clock::time_point counted{};
    std::int64_t open = 0;
  };
  std::optional<ApiError> count(const ApiKey& key, Clock::time_point now);
  void end(const std::string& name);

  std::mutex mutex_;
  ApiKeys keys_;
  std::map<std::string, Use> uses_;
};

}  // namespace troupe::services
