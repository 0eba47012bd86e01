// Computed pages of the latent cache that can be found again by what they hold.
#pragma once
#include <array>
#include <cstdint>
#include <list>
#include <span>
#include <unordered_map>
#include <vector>

#include "model/kv_pages.hpp"

namespace troupe::model {

/// The hash of a page's tokens behind everything before them; `before` of a first page is
/// first_page_hash(salt). A gateway that sends equal beginnings to one shard uses the same.
std::uint64_t page_hash(std::uint64_t before, std::span<const std::int32_t> tokens);
std::uint64_t first_page_hash(std::uint64_t salt);

/// A tree of full pages: each follows a parent and holds kPageTokens ids. Sequences whose tokens
/// begin alike stand at the same node and share its pages; pages nobody uses stay until room is
/// needed, the least recently used first. Hashes only find candidates: ids are compared, so that
/// equal hashes of different texts share nothing.
///
/// A page belongs either to one sequence or, once full, to one node here.
/// *Threading*: one thread.
class PrefixCache {
 public:
  using Hash = std::uint64_t (*)(std::uint64_t before, std::span<const std::int32_t> tokens);

  /// At most `idle_max` pages are kept that no sequence uses. `pool` must outlive this.
  PrefixCache(KvPool& pool, std::int64_t idle_max, Hash hash = page_hash);

  /// Where a sequence stands: how many of its first pages are nodes, and the last of them.
  struct Place {
    std::uint64_t salt = 0;
    std::int32_t node = -1;
    std::int64_t pages = 0;
    std::uint64_t hash = 0;  // of all these pages
  };
  struct Known {
    std::int64_t pages = 0;  // of the tokens, from the first on
    std::int64_t idle = 0;   // of them, used by no sequence now
  };

  /// How many full pages of `tokens` are here.
  Known known(std::uint64_t salt, std::span<const std::int32_t> tokens) const;
  /// Uses all of them from now on: their ids are appended to `pages`. Leave the place once.
  Place enter(std::uint64_t salt, std::span<const std::int32_t> tokens, std::vector<PageId>& pages);
  Place enter(std::uint64_t salt) const;
  /// One page more: gives `page`, which holds the written entries of `tokens` [kPageTokens], to the
  /// cache. Returns the page to use from now on: where equal tokens are here already, theirs, and
  /// the one given is free again.
  PageId add(Place& place, std::span<const std::int32_t> tokens, PageId page);
  void leave(Place& place);

  /// Frees the least recently used page that no sequence uses; false when there is none.
  bool evict();
  std::int64_t idle() const { return static_cast<std::int64_t>(idle_.size()); }
  std::int64_t pages() const { return static_cast<std::int64_t>(index_.size()); }

 private:
  struct Node {
    std::int32_t parent = -1;
    std::int32_t children = 0;
    std::int64_t users = 0;
    std::uint64_t salt = 0;
    std::uint64_t hash = 0;
    PageId page = 0;
    std::array<std::int32_t, kernels::kPageTokens> tokens;
    std::list<std::int32_t>::iterator idle_at;  // in idle_, where users is 0
  };

  /// -1: not here.
  std::int32_t child_of(const Place& place, std::uint64_t hash,
                        std::span<const std::int32_t> tokens) const;
  std::uint64_t next_hash(const Place& place, std::span<const std::int32_t> tokens) const;
  bool step_into(Place& place, std::span<const std::int32_t> tokens) const;
  std::int32_t make_node(const Place& place, std::uint64_t hash,
                         std::span<const std::int32_t> tokens, PageId page);
  void use(std::int32_t node);

  KvPool& pool_;
  std::int64_t idle_max_;
  Hash hash_;
  std::vector<Node> nodes_;
  std::vector<std::int32_t> free_nodes_;
  std::unordered_multimap<std::uint64_t, std::int32_t> index_;  // hash -> node
  /// Least recently used first. A node comes after all of its children, so the first has none.
  std::list<std::int32_t> idle_;
};

}  // namespace troupe::model
