// What can be read next: stacks after entering and leaving rules, without reading a byte.
#pragma once
#include <cstdint>
#include <set>
#include <vector>

#include "model/grammar/automaton.hpp"
#include "model/grammar/configurations.hpp"
#include "model/grammar/limits.hpp"

namespace troupe::model::grammar {

/// Collects stacks, follows their calls and returns, and keeps those that can read a byte. A frame
/// that could not be completed within `answer_depth_max` is not entered, so that what is kept can
/// always be completed.
class Closure {
 public:
  using Stack = std::vector<std::uint32_t>;

  Closure(const Automaton& automaton, const GrammarLimits& limits)
      : automaton_(automaton), limits_(limits) {}

  void add(Stack stack);
  /// Past `alternatives_max` the first in order are kept: fewer answers, all of them right.
  Configuration take();

 private:
  bool fits(StateId state, std::size_t frame) const {
    return frame + automaton_.depth[state] <= limits_.answer_depth_max;
  }

  const Automaton& automaton_;
  const GrammarLimits& limits_;
  std::set<Stack> seen_;
  bool complete_ = false;
};

}  // namespace troupe::model::grammar
