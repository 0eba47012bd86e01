// Counters of tenants.
#include "actors/attention/tenant_shares.hpp"

#include <algorithm>
#include <limits>

#include "core/check.hpp"

namespace troupe::actors {

void TenantShares::arrives(std::uint64_t tenant) {
  const auto [entry, fresh] = tenants_.try_emplace(tenant);
  Tenant& known = entry->second;
  if (known.present++ > 0) return;
  if (!fresh) --absent_;
  lift(known);
}

void TenantShares::lift(Tenant& tenant) {
  auto smallest = std::numeric_limits<std::int64_t>::max();
  for (const auto& [id, other] : tenants_)
    if (&other != &tenant && other.present > 0) smallest = std::min(smallest, other.served);
  if (smallest != std::numeric_limits<std::int64_t>::max()) floor_ = std::max(floor_, smallest);
  tenant.served = std::max(tenant.served, floor_);
}

void TenantShares::leaves(std::uint64_t tenant) {
  auto& known = tenants_.at(tenant);
  TROUPE_CHECK(known.present > 0, "a request leaves once");
  if (--known.present > 0) return;
  ++absent_;
  if (absent_ > kAbsentMax) forget_absent();
}

void TenantShares::forget_absent() {
  std::erase_if(tenants_, [](const auto& entry) { return entry.second.present == 0; });
  absent_ = 0;
}

void TenantShares::charge(std::uint64_t tenant, std::int64_t cost) {
  tenants_.at(tenant).served += cost;
}

std::int64_t TenantShares::served(std::uint64_t tenant) const {
  const auto known = tenants_.find(tenant);
  return known == tenants_.end() ? 0 : known->second.served;
}

}  // namespace troupe::actors
