// Writes a parsed pattern into an automaton, repetitions multiplied out.
#include "model/grammar/regex.hpp"

namespace troupe::model::grammar {
namespace {

StateId write_repeat(Nfa& nfa, StateId from, const Regex& regex, Spelling spelling) {
  const Regex& part = regex.parts.front();
  for (std::uint32_t i = 0; i < regex.min && !nfa.full(); ++i) {
    from = write_regex(nfa, from, part, spelling);
  }
  if (regex.max == Regex::kUnbounded) {
    const StateId loop = nfa.add_state();
    nfa.epsilon(from, loop);
    nfa.epsilon(write_regex(nfa, loop, part, spelling), loop);
    return loop;
  }
  if (regex.max == regex.min) return from;
  const StateId end = nfa.add_state();
  nfa.epsilon(from, end);
  for (std::uint32_t i = regex.min; i < regex.max && !nfa.full(); ++i) {
    from = write_regex(nfa, from, part, spelling);
    nfa.epsilon(from, end);
  }
  return end;
}

}  // namespace

StateId write_regex(Nfa& nfa, StateId from, const Regex& regex, Spelling spelling) {
  switch (regex.kind) {
    case Regex::Kind::characters: return write_character(nfa, from, regex.set, spelling);
    case Regex::Kind::repeat: return write_repeat(nfa, from, regex, spelling);
    case Regex::Kind::sequence:
      for (const Regex& part : regex.parts) from = write_regex(nfa, from, part, spelling);
      return from;
    case Regex::Kind::alternatives: {
      const StateId end = nfa.add_state();
      for (const Regex& part : regex.parts) {
        nfa.epsilon(write_regex(nfa, from, part, spelling), end);
      }
      return end;
    }
    default: return from;  // empty; anchors were resolved
  }
}

}  // namespace troupe::model::grammar
