// How much each tenant was served: the virtual token counters that keep one from crowding out all.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>

namespace troupe::actors {

/// Whoever has waiting requests and the smallest counter goes next. A tenant that comes back after
/// a pause does not bring the pause as credit: its counter is lifted to the smallest of those that
/// are present. Between two tenants that always have requests waiting, the services received
/// differ by at most twice what one batch and one prompt can add, however the requests look.
/// *Source*: Sheng et al., Fairness in Serving Large Language Models (OSDI 2024), algorithm 2.
class TenantShares {
 public:
  /// What a token costs, as in the paper.
  static constexpr std::int64_t kPromptToken = 1;
  static constexpr std::int64_t kGeneratedToken = 2;
  /// Absent tenants that are remembered.
  static constexpr std::size_t kAbsentMax = 4096;

  /// One more or one less of its requests is here.
  void arrives(std::uint64_t tenant);
  void leaves(std::uint64_t tenant);
  void charge(std::uint64_t tenant, std::int64_t cost);
  /// Its counter; 0 when it is unknown.
  std::int64_t served(std::uint64_t tenant) const;

 private:
  struct Tenant {
    std::int64_t served = 0;
    std::int64_t present = 0;  // requests
  };
  void lift(Tenant& tenant);
  void forget_absent();

  std::map<std::uint64_t, Tenant> tenants_;
  std::size_t absent_ = 0;
  std::int64_t floor_ = 0;  // smallest counter of those present, never less than it was
};

}  // namespace troupe::actors
