// Prefixes, siblings and loads.
#include "actors/gateway/shard_picker.hpp"

#include <algorithm>

#include "core/mix64.hpp"
#include "model/prefix_cache.hpp"

namespace troupe::actors {
namespace {

/// Of the first page, the first two pages, ... of a prompt, as far as a shard can reuse them.
std::vector<std::uint64_t> hashes_of(const GenerateRequest& asked) {
  constexpr auto kPage = static_cast<std::size_t>(kernels::kPageTokens);
  std::vector<std::uint64_t> hashes;
  auto hash = model::first_page_hash(asked.cache_salt);
  const std::span<const std::int32_t> prompt(asked.prompt);
  for (std::size_t at = 0; at + kPage < prompt.size() && hashes.size() < ShardPicker::kPagesMax;
       at += kPage)
    hashes.push_back(hash = model::page_hash(hash, prompt.subspan(at, kPage)));
  return hashes;
}

std::uint64_t siblings_key(const GenerateRequest& asked) {
  const auto owner = mix64(mix64(asked.cache_salt ^ asked.sampling.seed) ^ asked.tenant);
  return model::page_hash(owner, asked.prompt);
}

}  // namespace

PeerId ShardPicker::pick(const GenerateRequest& asked, RequestId request, const Loads& loads) {
  ends(request);  // an earlier attempt
  if (loads.empty()) return 0;
  const auto hashes = hashes_of(asked);
  PeerId shard = 0;
  if (asked.choices > 1) {
    const auto key = siblings_key(asked);
    auto& siblings = siblings_[key];
    if (siblings.open == 0 || !loads.contains(siblings.shard))
      siblings.shard = choose(hashes, loads);
    ++siblings.open;
    group_of_[request] = key;
    shard = siblings.shard;
  } else {
    shard = choose(hashes, loads);
  }
  remember(hashes, shard);
  return shard;
}

PeerId ShardPicker::choose(std::span<const std::uint64_t> hashes, const Loads& loads) const {
  const auto least = std::min_element(
      loads.begin(), loads.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  for (auto pages = hashes.size(); pages > 0; --pages) {
    const auto known = prefixes_.find(hashes[pages - 1]);
    if (known == prefixes_.end()) continue;
    const auto home = loads.find(known->second.shard);
    if (home == loads.end()) continue;
    const auto saved = static_cast<std::int64_t>(pages) * kernels::kPageTokens;
    // A shorter prefix elsewhere saves less, so this one decides.
    return home->second - least->second <= kPatience * saved ? home->first : least->first;
  }
  return least->first;
}

void ShardPicker::remember(std::span<const std::uint64_t> hashes, PeerId shard) {
  for (auto hash = hashes.rbegin(); hash != hashes.rend();
       ++hash) {  // the first page stays longest
    const auto [entry, fresh] = prefixes_.try_emplace(*hash);
    if (!fresh) uses_.erase(entry->second.use);
    entry->second = {shard, uses_.insert(uses_.end(), *hash)};
  }
  while (prefixes_.size() > kRememberedMax) {
    prefixes_.erase(uses_.front());
    uses_.pop_front();
  }
}

void ShardPicker::ends(RequestId request) {
  const auto group = group_of_.find(request);
  if (group == group_of_.end()) return;
  const auto siblings = siblings_.find(group->second);
  if (--siblings->second.open == 0) siblings_.erase(siblings);
  group_of_.erase(group);
}

void ShardPicker::forget(PeerId shard) {
  for (auto entry = prefixes_.begin(); entry != prefixes_.end();) {
    if (entry->second.shard != shard) {
      ++entry;
      continue;
    }
    uses_.erase(entry->second.use);
    entry = prefixes_.erase(entry);
  }
}

}  // namespace troupe::actors
