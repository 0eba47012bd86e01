// The walk over the token trie, and the tables it fills on its way.
#include "model/grammar/configurations.hpp"

#include <algorithm>
#include <bit>

#include "model/grammar/closure.hpp"

namespace troupe::model::grammar {
namespace {

constexpr std::uint64_t kLoopsKnown = 1ull << 63;
// A mask with fewer tokens is a list: 4 bytes each against 16 KB of bits for 129,280 ids.
constexpr std::size_t kListedTokensMax = 1024;

void set_bit(std::span<std::uint64_t> bits, std::int32_t id) {
  const auto index = static_cast<std::size_t>(id);
  bits[index / 64] |= 1ull << (index % 64);
}

}  // namespace

std::size_t Configurations::Hash::operator()(
    const std::shared_ptr<const Configuration>& configuration) const {
  std::uint64_t hash = configuration->complete ? 0x9e3779b97f4a7c15u : 0xcbf29ce484222325u;
  for (const std::uint32_t word : configuration->stacks) hash = (hash ^ word) * 0x100000001b3u;
  return hash ^ hash >> 29;
}

Configurations::Configurations(Automaton automaton, GrammarLimits limits)
    : automaton_(std::move(automaton)), limits_(limits) {
  Closure closure(automaton_, limits_);
  closure.add({automaton_.start});
  start_ = std::make_shared<const Configuration>(closure.take());
  forget_if_large();
}

std::size_t Configurations::bytes() const { return automaton_.bytes() + held_bytes_; }

void Configurations::forget_if_large() {
  if (!by_id_.empty() && held_bytes_ <= limits_.cache_bytes_max) return;
  ids_.clear();
  by_id_.assign(1, nullptr);  // kDead
  rows_.assign(automaton_.classes, kDead);
  masks_.assign(1, {});
  loops_.assign(1, kLoopsKnown);
  held_bytes_ = 0;
}

Configurations::Id Configurations::id_of(
    const std::shared_ptr<const Configuration>& configuration) {
  const auto [known, added] = ids_.try_emplace(configuration, static_cast<Id>(by_id_.size()));
  if (!added) return known->second;
  by_id_.push_back(configuration);
  rows_.resize(rows_.size() + automaton_.classes, kUnknown);
  masks_.emplace_back();
  loops_.push_back(0);
  held_bytes_ += sizeof(Configuration) + sizeof(Mask) + 96 +  // 96: hash node, control block
                 (configuration->stacks.size() + automaton_.classes) * sizeof(std::uint32_t);
  return known->second;
}

Configurations::Id Configurations::discover(Id from, std::uint8_t byte_class) {
  const std::vector<std::uint32_t>& stacks = by_id_[from]->stacks;
  Closure closure(automaton_, limits_);
  bool any = false;
  for (std::size_t at = 0; at < stacks.size(); at += stacks[at] + 1) {
    const auto begin = stacks.begin() + static_cast<std::ptrdiff_t>(at) + 1;
    const auto end = begin + stacks[at];
    const StateId to = automaton_.step(end[-1], byte_class);
    if (to == Automaton::kDead) continue;
    Closure::Stack stack(begin, end);
    stack.back() = to;
    closure.add(std::move(stack));
    any = true;
  }
  Id to = kDead;
  if (any) {
    Configuration next = closure.take();
    if (next.complete || !next.stacks.empty())
      to = id_of(std::make_shared<const Configuration>(std::move(next)));
  }
  rows_[from * automaton_.classes + byte_class] = to;
  return to;
}

std::shared_ptr<const Configuration> Configurations::after(
    const std::shared_ptr<const Configuration>& from, std::string_view text) {
  forget_if_large();
  Id id = id_of(from);
  for (const char byte : text) {
    id = step(id, static_cast<std::uint8_t>(byte));
    if (id == kDead) return nullptr;
  }
  return by_id_[id];
}

std::uint64_t Configurations::loops(Id id) {
  if ((loops_[id] & kLoopsKnown) == 0) {
    std::uint64_t leaving = 0;
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const auto value = static_cast<std::uint8_t>(byte);
      if (step(id, value) != id) leaving |= 1ull << TokenTable::byte_group(value);
    }
    loops_[id] = ~leaving | kLoopsKnown;
  }
  return loops_[id];
}

void Configurations::walk(Id from, const TokenTable& tokens, std::vector<std::uint64_t>& bits) {
  constexpr std::uint32_t kSubtreeMin = 16;  // tokens below which asking costs more than walking
  const auto nodes = tokens.nodes();
  const auto ids = tokens.tokens();
  std::vector<Id> path(tokens.depth_max() + 1, kDead);
  path[0] = from;
  for (std::size_t i = 1; i + 1 < nodes.size();) {
    const TokenTable::Node& node = nodes[i];
    const Id id = step(path[node.depth - 1], node.byte);
    if (id == kDead) {
      i = node.end;
      continue;
    }
    std::uint32_t last = node.first_token + node.own_tokens;
    const std::uint32_t subtree = nodes[node.end].first_token;
    if (subtree - last >= kSubtreeMin && (node.below & ~loops(id)) == 0) {
      last = subtree;
      i = node.end;
    } else {
      path[node.depth] = id;
      ++i;
    }
    for (std::uint32_t token = node.first_token; token < last; ++token) set_bit(bits, ids[token]);
  }
}

void Configurations::add_allowed(const std::shared_ptr<const Configuration>& from,
                                 const TokenTable& tokens, std::span<std::uint64_t> allowed) {
  forget_if_large();
  const Id id = id_of(from);
  if (!masks_[id].known) {
    std::vector<std::uint64_t> bits((static_cast<std::size_t>(tokens.size()) + 63) / 64, 0);
    walk(id, tokens, bits);
    Mask& mask = masks_[id];
    std::size_t count = 0;
    for (const std::uint64_t word : bits) count += static_cast<std::size_t>(std::popcount(word));
    if (count <= kListedTokensMax) {
      mask.ids.reserve(count);
      for (std::size_t word = 0; word < bits.size(); ++word) {
        for (std::uint64_t rest = bits[word]; rest != 0; rest &= rest - 1) {
          mask.ids.push_back(static_cast<std::int32_t>(
              word * 64 + static_cast<std::size_t>(std::countr_zero(rest))));
        }
      }
    } else {
      mask.bits = std::move(bits);
    }
    mask.known = true;
    held_bytes_ +=
        mask.ids.size() * sizeof(std::int32_t) + mask.bits.size() * sizeof(std::uint64_t);
  }
  const Mask& mask = masks_[id];
  const auto ids_end = static_cast<std::int64_t>(allowed.size()) * 64;
  for (const std::int32_t token : mask.ids) {
    if (token < ids_end) set_bit(allowed, token);
  }
  const std::size_t words = std::min(allowed.size(), mask.bits.size());
  for (std::size_t word = 0; word < words; ++word) allowed[word] |= mask.bits[word];
}

}  // namespace troupe::model::grammar
