// Placements as they travel: equal layers once, replicas as 16-bit numbers.
#include "actors/control_messages.hpp"

#include <algorithm>
#include <limits>
#include <span>
#include <string>

#include "core/check.hpp"

namespace troupe::actors {
namespace {

constexpr std::uint16_t kAsBefore = 0;
constexpr std::uint16_t kListed = 1;
constexpr std::size_t kCodeMax = std::numeric_limits<std::uint16_t>::max();

using Replicas = std::vector<model::ShardIndex>;

/// Reads one layer of `layer.size()` experts from `code`, which it shortens. False: malformed.
bool read_layer(std::span<const std::uint16_t>& code, std::span<Replicas> layer) {
  for (Replicas& replicas : layer) {
    if (code.empty()) return false;
    const std::size_t count = code.front();
    code = code.subspan(1);
    if (count > code.size()) return false;
    replicas.assign(code.begin(), code.begin() + static_cast<std::ptrdiff_t>(count));
    if (!std::is_sorted(replicas.begin(), replicas.end(), std::less_equal<>{})) return false;
    code = code.subspan(count);
  }
  return true;
}

}  // namespace

PackedPlacement pack(const PublishedPlacement& published) {
  const auto& placement = published.placement;
  PackedPlacement packed;
  packed.term = placement.term;
  packed.epoch = placement.epoch;
  packed.experts = static_cast<std::uint32_t>(placement.experts);
  packed.quantised_rows = published.quantised_rows;
  const auto experts = static_cast<std::size_t>(placement.experts);
  const std::size_t layers = experts == 0 ? 0 : placement.replicas.size() / experts;
  packed.layers = static_cast<std::uint32_t>(layers);
  const std::span<const Replicas> all(placement.replicas);
  for (std::size_t layer = 0; layer < layers; ++layer) {
    const auto lists = all.subspan(layer * experts, experts);
    if (layer > 0 && std::ranges::equal(lists, all.subspan((layer - 1) * experts, experts))) {
      packed.code.push_back(kAsBefore);
      continue;
    }
    packed.code.push_back(kListed);
    for (const Replicas& replicas : lists) {
      TROUPE_CHECK(replicas.size() <= kCodeMax, "more replicas than ranks");
      packed.code.push_back(static_cast<std::uint16_t>(replicas.size()));
      for (const auto shard : replicas) {
        TROUPE_CHECK(shard >= 0 && shard <= static_cast<int>(kExpertRanksMax), "no such rank");
        packed.code.push_back(static_cast<std::uint16_t>(shard));
      }
    }
  }
  return packed;
}

Expected<PlacementPtr> unpack(const PackedPlacement& packed) {
  const auto refuse = [](const char* what) {
    return unexpected(Errc::malformed, std::string("a placement that arrived ") + what);
  };
  const auto experts = static_cast<std::size_t>(packed.experts);
  const auto lists = static_cast<std::uint64_t>(packed.layers) * packed.experts;
  if (lists > static_cast<std::uint64_t>(kReplicaListsMax)) return refuse("is too large");
  if (packed.layers > packed.code.size()) return refuse("has fewer layers than it says");
  PublishedPlacement published;
  published.quantised_rows = packed.quantised_rows;
  auto& placement = published.placement;
  placement.term = packed.term;
  placement.epoch = packed.epoch;
  placement.experts = packed.experts;
  placement.replicas.resize(lists);
  const std::span<Replicas> all(placement.replicas);
  std::span<const std::uint16_t> code(packed.code);
  for (std::size_t layer = 0; layer < packed.layers; ++layer) {
    if (code.empty()) return refuse("ends early");
    const auto mark = code.front();
    code = code.subspan(1);
    const auto here = all.subspan(layer * experts, experts);
    if (mark == kAsBefore && layer > 0)
      std::ranges::copy(all.subspan((layer - 1) * experts, experts), here.begin());
    else if (mark != kListed || !read_layer(code, here))
      return refuse("has a layer that is none");
  }
  if (!code.empty()) return refuse("goes on after its last layer");
  return std::make_shared<const PublishedPlacement>(std::move(published));
}

}  // namespace troupe::actors
