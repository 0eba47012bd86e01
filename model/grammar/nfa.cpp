// States and edges in two arrays; the edges of a state are a list through the second.
#include "model/grammar/nfa.hpp"

namespace troupe::model::grammar {

StateId Nfa::add_state() {
  // What is written after this is thrown away, so any state will do.
  if (full_ || first_edge_.size() >= states_max_) {
    full_ = true;
    return 0;
  }
  first_edge_.push_back(kNone);
  return static_cast<StateId>(first_edge_.size() - 1);
}

void Nfa::add_edge(StateId from, Edge edge) {
  if (full_) return;
  edge.next = first_edge_[from];
  first_edge_[from] = static_cast<std::uint32_t>(edges_.size());
  edges_.push_back(edge);
}

StateId Nfa::bytes(StateId from, std::uint8_t low, std::uint8_t high) {
  const StateId to = add_state();
  bytes(from, low, high, to);
  return to;
}

StateId Nfa::literal(StateId from, std::string_view text) {
  for (const char c : text) {
    from = bytes(from, static_cast<std::uint8_t>(c), static_cast<std::uint8_t>(c));
  }
  return from;
}

StateId Nfa::call(StateId from, RuleId rule) {
  const StateId to = add_state();
  add_edge(from, {.to = to, .rule = rule, .kind = EdgeKind::call});
  return to;
}

RuleId Nfa::add_rule() {
  const StateId begin = add_state();
  rules_.push_back({begin, add_state()});
  return static_cast<RuleId>(rules_.size() - 1);
}

}  // namespace troupe::model::grammar
