// A token bucket and a count for each key.
#include "services/gateway/access.hpp"

#include <algorithm>

namespace troupe::services {
namespace {

constexpr std::string_view kBearer = "bearer ";
constexpr std::chrono::milliseconds kRetryConcurrent{1000};

/// The scheme's name is not case-sensitive (RFC 9110, 11.1).
std::optional<std::string_view> bearer(std::string_view header) {
  if (header.size() <= kBearer.size()) return std::nullopt;
  const bool same = std::equal(kBearer.begin(), kBearer.end(), header.begin(), [](char a, char b) {
    return a == (b >= 'A' && b <= 'Z' ? b - 'A' + 'a' : b);
  });
  if (!same) return std::nullopt;
  header.remove_prefix(kBearer.size());
  header.remove_prefix(std::min(header.find_first_not_of(' '), header.size()));
  return header;
}

}  // namespace

Answered<Access::Pass> Access::enter(std::string_view authorization, const Right* right,
                                     Clock::time_point now) {
  const auto secret = bearer(authorization);
  if (!secret) return unauthenticated("an API key is needed");
  const std::lock_guard lock(mutex_);
  const ApiKey* key = keys_.find(*secret);
  if (key == nullptr) return unauthenticated("this API key is not known here");
  if (right != nullptr && !key->may(*right)) return permission_denied(key->name, to_string(*right));
  if (auto refused = count(*key, now)) return *std::move(refused);
  return Pass(*this, *key);
}

std::optional<ApiError> Access::count(const ApiKey& key, Clock::time_point now) {
  const auto per_minute = static_cast<double>(key.requests_per_minute_max);
  auto [found, fresh] = uses_.try_emplace(key.name);
  Use& use = found->second;
  if (key.concurrent_max > 0 && use.open >= key.concurrent_max) {
    return rate_limited(key.name, std::to_string(key.concurrent_max) + " requests at once",
                        kRetryConcurrent);
  }
  if (per_minute > 0) {
    const std::chrono::duration<double> passed = now - use.counted;
    use.requests = fresh || use.counted == Clock::time_point{}
                       ? per_minute
                       : std::min(per_minute, use.requests + passed.count() * per_minute / 60);
    use.counted = now;
    if (use.requests < 1) {
      const double seconds = (1 - use.requests) * 60 / per_minute;
      return rate_limited(key.name,
                          std::to_string(key.requests_per_minute_max) + " requests a minute",
                          std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000) + 1));
    }
    use.requests -= 1;
  }
  ++use.open;
  return std::nullopt;
}

void Access::end(const std::string& name) {
  const std::lock_guard lock(mutex_);
  --uses_[name].open;
}

void Access::replace(ApiKeys keys) {
  const std::lock_guard lock(mutex_);
  keys_ = std::move(keys);
}

}  // namespace troupe::services
