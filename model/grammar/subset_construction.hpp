// Makes an automaton deterministic, without asking yet which of its states lead anywhere.
#pragma once
#include <array>

#include "core/expected.hpp"
#include "model/grammar/automaton.hpp"
#include "model/grammar/limits.hpp"
#include "model/grammar/nfa.hpp"

namespace troupe::model::grammar {

/// All fields of Automaton but `depth`. *Errors*: `resource_exhausted` past a limit.
Expected<Automaton> determinize(const Nfa& nfa, const std::array<bool, 256>& usable,
                                const GrammarLimits& limits);

}  // namespace troupe::model::grammar
