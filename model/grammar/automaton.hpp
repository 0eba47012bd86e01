// A deterministic automaton over bytes with calls: what masks are computed from.
#pragma once
#include <array>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "core/expected.hpp"
#include "model/grammar/limits.hpp"
#include "model/grammar/nfa.hpp"

namespace troupe::model::grammar {

/// Each rule is a finite automaton over bytes; a call goes through another rule and comes back at
/// `returns_to`. From every state that can be reached, an accepting end can be reached with bytes
/// that the vocabulary has.
struct Automaton {
  static constexpr StateId kDead = 0xffffffff;
  static constexpr std::uint32_t kNever = std::numeric_limits<std::uint32_t>::max();
  struct Call {
    StateId enters = 0;  // the first state of the rule
    StateId returns_to = 0;
  };

  std::array<std::uint8_t, 256> class_of{};  // bytes that no state tells apart share a class
  std::size_t classes = 0;
  StateId start = 0;
  std::vector<StateId> next;              // [states, classes]
  std::vector<std::uint8_t> accepts;      // [states]: the rule may end here
  std::vector<std::uint32_t> depth;       // [states]: frames that the shortest way to an end needs
  std::vector<std::uint32_t> first_call;  // [states + 1]
  std::vector<Call> calls;

  std::size_t states() const { return accepts.size(); }
  StateId step(StateId state, std::uint8_t byte_class) const {
    return next[state * classes + byte_class];
  }
  std::span<const Call> calls_of(StateId state) const {
    return std::span(calls).subspan(first_call[state], first_call[state + 1] - first_call[state]);
  }
  std::size_t bytes() const;
};

/// Subset construction rule by rule; rule 0 is where a text begins. `usable[byte]`: the vocabulary
/// can write this byte alone. *Errors*: `resource_exhausted` past a limit; `invalid_argument` when
/// no text fits, or when a rule begins with itself.
Expected<Automaton> make_automaton(const Nfa& nfa, const std::array<bool, 256>& usable,
                                   const GrammarLimits& limits);

}  // namespace troupe::model::grammar
