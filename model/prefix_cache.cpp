// The tree of shared pages, its index and its order of eviction.
#include "model/prefix_cache.hpp"

#include <algorithm>

#include "core/check.hpp"
#include "core/mix64.hpp"

namespace troupe::model {

std::uint64_t page_hash(std::uint64_t before, std::span<const std::int32_t> tokens) {
  for (const auto token : tokens) before = mix64(before ^ static_cast<std::uint64_t>(token));
  return before;
}

std::uint64_t first_page_hash(std::uint64_t salt) { return mix64(salt); }

PrefixCache::PrefixCache(KvPool& pool, std::int64_t idle_max, Hash hash)
    : pool_(pool), idle_max_(idle_max), hash_(hash) {}

std::uint64_t PrefixCache::next_hash(const Place& place,
                                     std::span<const std::int32_t> tokens) const {
  return hash_(place.pages == 0 ? first_page_hash(place.salt) : place.hash, tokens);
}

std::int32_t PrefixCache::child_of(const Place& place, std::uint64_t hash,
                                   std::span<const std::int32_t> tokens) const {
  const auto [first, last] = index_.equal_range(hash);
  for (auto entry = first; entry != last; ++entry) {
    const Node& node = nodes_[static_cast<std::size_t>(entry->second)];
    if (node.parent == place.node && node.salt == place.salt &&
        std::ranges::equal(node.tokens, tokens))
      return entry->second;
  }
  return -1;
}

bool PrefixCache::step_into(Place& place, std::span<const std::int32_t> tokens) const {
  const auto hash = next_hash(place, tokens);
  const auto node = child_of(place, hash, tokens);
  if (node < 0) return false;
  place.node = node;
  place.hash = hash;
  ++place.pages;
  return true;
}

PrefixCache::Known PrefixCache::known(std::uint64_t salt,
                                      std::span<const std::int32_t> tokens) const {
  Known known;
  Place place{.salt = salt};
  while (tokens.size() >= kernels::kPageTokens &&
         step_into(place, tokens.first(kernels::kPageTokens))) {
    if (nodes_[static_cast<std::size_t>(place.node)].users == 0) ++known.idle;
    tokens = tokens.subspan(kernels::kPageTokens);
  }
  known.pages = place.pages;
  return known;
}

PrefixCache::Place PrefixCache::enter(std::uint64_t salt) const { return {.salt = salt}; }

PrefixCache::Place PrefixCache::enter(std::uint64_t salt, std::span<const std::int32_t> tokens,
                                      std::vector<PageId>& pages) {
  Place place{.salt = salt};
  while (tokens.size() >= kernels::kPageTokens &&
         step_into(place, tokens.first(kernels::kPageTokens))) {
    use(place.node);
    pages.push_back(nodes_[static_cast<std::size_t>(place.node)].page);
    tokens = tokens.subspan(kernels::kPageTokens);
  }
  return place;
}

void PrefixCache::use(std::int32_t index) {
  Node& node = nodes_[static_cast<std::size_t>(index)];
  if (node.users++ == 0) idle_.erase(node.idle_at);
}

PageId PrefixCache::add(Place& place, std::span<const std::int32_t> tokens, PageId page) {
  TROUPE_CHECK(tokens.size() == kernels::kPageTokens, "a node holds a full page");
  const auto hash = next_hash(place, tokens);
  auto index = child_of(place, hash, tokens);
  if (index >= 0) {
    use(index);
    pool_.release(page);  // somebody computed the same at the same time: the same bits
  } else {
    index = make_node(place, hash, tokens, page);
  }
  place.node = index;
  place.hash = hash;
  ++place.pages;
  return nodes_[static_cast<std::size_t>(index)].page;
}

std::int32_t PrefixCache::make_node(const Place& place, std::uint64_t hash,
                                    std::span<const std::int32_t> tokens, PageId page) {
  std::int32_t index = static_cast<std::int32_t>(nodes_.size());
  if (free_nodes_.empty()) {
    nodes_.emplace_back();
  } else {
    index = free_nodes_.back();
    free_nodes_.pop_back();
  }
  Node& node = nodes_[static_cast<std::size_t>(index)];
  node = {.parent = place.node,
          .users = 1,
          .salt = place.salt,
          .hash = hash,
          .page = page,
          .tokens = {},
          .idle_at = {}};
  std::ranges::copy(tokens, node.tokens.begin());
  if (place.node >= 0) ++nodes_[static_cast<std::size_t>(place.node)].children;
  index_.emplace(hash, index);
  return index;
}

void PrefixCache::leave(Place& place) {
  // From the last page to the first, so that a node becomes idle after its children.
  for (auto index = place.node; index >= 0;) {
    Node& node = nodes_[static_cast<std::size_t>(index)];
    TROUPE_CHECK(node.users > 0, "a place is left once");
    if (--node.users == 0) node.idle_at = idle_.insert(idle_.end(), index);
    index = node.parent;
  }
  place = {.salt = place.salt};
  while (idle() > idle_max_) evict();
}

bool PrefixCache::evict() {
  if (idle_.empty()) return false;
  const auto index = idle_.front();
  Node& node = nodes_[static_cast<std::size_t>(index)];
  TROUPE_CHECK(node.users == 0 && node.children == 0, "an idle page goes after those behind it");
  idle_.pop_front();
  const auto [first, last] = index_.equal_range(node.hash);
  index_.erase(std::find_if(first, last, [&](const auto& e) { return e.second == index; }));
  if (node.parent >= 0) --nodes_[static_cast<std::size_t>(node.parent)].children;
  pool_.release(node.page);
  free_nodes_.push_back(index);
  return true;
}

}  // namespace troupe::model
