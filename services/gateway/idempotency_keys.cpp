// A set of the keys that are held.
#include "services/gateway/idempotency_keys.hpp"

#include <algorithm>
#include <string_view>

namespace troupe::services {
namespace {

constexpr std::size_t kBytesMax = 256;

bool is_key(std::string_view text) {
  return !text.empty() && text.size() <= kBytesMax &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
}

}  // namespace

Answered<IdempotencyKeys::Hold> IdempotencyKeys::hold(const std::string& owner,
                                                      const GivenIdempotencyKey& given) {
  if (given.values.empty()) return Hold();
  if (given.values.size() > 1 || !is_key(given.values.front()))
    return invalid_fields({{given.header, "takes one key of 1 to 256 visible ASCII characters"}});
  Key key{owner, given.values.front()};
  const std::lock_guard lock(mutex_);
  if (!held_.insert(key).second) return operation_in_progress();
  return Hold(this, Release{std::move(key)});
}

void IdempotencyKeys::release(const Key& key) {
  const std::lock_guard lock(mutex_);
  held_.erase(key);
}

}  // namespace troupe::services
