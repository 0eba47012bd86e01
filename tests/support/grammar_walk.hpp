// A model that picks at random what a grammar allows, and closes when it has written enough.
#pragma once
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "core/check.hpp"
#include "model/grammar/grammar.hpp"

namespace troupe::tests {

struct Walk {
  std::string text;
  std::vector<std::int32_t> ids;
  std::int64_t tokens = 0;
  bool complete = false;
};

/// Picks evenly among the allowed tokens; after `tokens_free` of them stops as soon as it can and
/// takes, half of the time, one of a few closing bytes. Gives up (not complete) far beyond that.
inline Walk random_walk(const std::shared_ptr<const model::Grammar>& grammar,
                        const model::TokenTable& table, std::uint64_t seed,
                        std::int64_t tokens_free) {
  std::mt19937_64 random(seed);
  model::GrammarState state(grammar);
  std::vector<std::uint64_t> allowed((static_cast<std::size_t>(table.size()) + 63) / 64);
  std::vector<std::int32_t> closing, ids;
  for (std::int32_t id = 0; id < table.size(); ++id) {
    const auto bytes = table.bytes_of(id);
    if (bytes.size() == 1 && std::string_view("\"}]0e,:").find(bytes[0]) != bytes.npos)
      closing.push_back(id);
  }
  Walk walk;
  const std::int64_t stops_from = static_cast<std::int64_t>(random() % 4) * tokens_free / 4;
  while (walk.tokens < tokens_free * 100) {
    const bool wants_end = walk.tokens >= tokens_free;
    if (state.ended() || (state.complete() && walk.tokens >= stops_from && random() % 4 == 0)) {
      walk.complete = true;
      return walk;
    }
    if (wants_end && state.complete()) {
      walk.complete = true;
      return walk;
    }
    state.mask(allowed, {});
    ids.clear();
    const auto take = [&](std::int32_t id) {
      const auto index = static_cast<std::size_t>(id);
      if (allowed[index / 64] >> (index % 64) & 1) ids.push_back(id);
    };
    if (wants_end && random() % 2 == 0) {
      for (const std::int32_t id : closing) take(id);
    }
    if (ids.empty()) {
      for (std::int32_t id = 0; id < table.size(); ++id) take(id);
    }
    TROUPE_CHECK(!ids.empty(), "a dead end after: " + walk.text);
    const std::int32_t id = ids[random() % ids.size()];
    TROUPE_CHECK(state.advance(id), walk.text);
    walk.text += table.bytes_of(id);
    walk.ids.push_back(id);
    ++walk.tokens;
  }
  return walk;
}

}  // namespace troupe::tests
