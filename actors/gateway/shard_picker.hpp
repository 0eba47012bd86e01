// Which attention shard a request goes to: where its prompt is known, unless that one is too busy.
#pragma once
#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "actors/peer_id.hpp"
#include "actors/request.hpp"

namespace troupe::actors {

/// Siblings (the n choices of one request) go where the first of them is. Others go to the shard
/// that last got a prompt with the same first pages, if its load exceeds the smallest by at most
/// twice the tokens that need not be computed there; else to the one with the smallest load, ties
/// by id. What it remembers is a guess: a shard that has dropped the pages computes them again.
/// *Threading*: one thread.
class ShardPicker {
 public:
  /// Pages of a prompt that are told apart, and pages that are remembered.
  static constexpr std::size_t kPagesMax = 64;
  static constexpr std::size_t kRememberedMax = 1 << 16;
  static constexpr std::int64_t kPatience = 2;  // load that one saved token is worth

  /// Tokens that each connected shard has to keep or compute.
  using Loads = std::map<PeerId, std::int64_t>;

  /// 0 when there is no shard. The request counts as a sibling of others until `ends`.
  PeerId pick(const GenerateRequest& asked, RequestId request, const Loads& loads);
  void ends(RequestId request);
  void forget(PeerId shard);

  std::size_t remembered() const { return prefixes_.size(); }

 private:
  struct Prefix {
    PeerId shard = 0;
    std::list<std::uint64_t>::iterator use;  // in uses_
  };
  struct Siblings {
    PeerId shard = 0;
    std::int64_t open = 0;
  };
  PeerId choose(std::span<const std::uint64_t> hashes, const Loads& loads) const;
  void remember(std::span<const std::uint64_t> hashes, PeerId shard);

  std::unordered_map<std::uint64_t, Prefix> prefixes_;  // hash of a prompt's first pages -> where
  std::list<std::uint64_t> uses_;                       // least recently used first
  std::unordered_map<std::uint64_t, Siblings> siblings_;
  std::unordered_map<RequestId, std::uint64_t> group_of_;  // key in siblings_
};

}  // namespace troupe::actors
