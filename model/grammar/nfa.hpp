// A nondeterministic automaton over bytes with calls: what schemas and patterns are written into.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace troupe::model::grammar {

using StateId = std::uint32_t;
using RuleId = std::uint32_t;

/// Functions that write a part of a language take the state it begins at and return the state it
/// ends at. They never add an edge into the former, so that alternatives can begin at one state.
/// Past `states_max` nothing is added any more and full() is true: writers of many copies ask.
class Nfa {
 public:
  explicit Nfa(std::size_t states_max) : states_max_(states_max) {}

  enum class EdgeKind : std::uint8_t { epsilon, bytes, call };
  struct Edge {
    StateId to = 0;
    std::uint32_t next = kNone;  // the next edge of the same state
    RuleId rule = 0;             // of a call
    EdgeKind kind = EdgeKind::epsilon;
    std::uint8_t low = 0, high = 0;  // of bytes
  };
  static constexpr std::uint32_t kNone = 0xffffffff;

  StateId add_state();
  void epsilon(StateId from, StateId to) { add_edge(from, {.to = to}); }
  void bytes(StateId from, std::uint8_t low, std::uint8_t high, StateId to) {
    add_edge(from, {.to = to, .kind = EdgeKind::bytes, .low = low, .high = high});
  }

  StateId bytes(StateId from, std::uint8_t low, std::uint8_t high);
  StateId literal(StateId from, std::string_view text);
  StateId call(StateId from, RuleId rule);

  /// A part of the language with its own begin and end that calls refer to; it must not be empty.
  RuleId add_rule();
  StateId rule_begin(RuleId rule) const { return rules_[rule].begin; }
  StateId rule_end(RuleId rule) const { return rules_[rule].end; }
  std::size_t rules() const { return rules_.size(); }

  bool full() const { return full_; }
  std::size_t states() const { return first_edge_.size(); }
  std::uint32_t first_edge(StateId state) const { return first_edge_[state]; }
  const Edge& edge(std::uint32_t index) const { return edges_[index]; }
  const std::vector<Edge>& edges() const { return edges_; }

 private:
  struct Rule {
    StateId begin = 0, end = 0;
  };
  void add_edge(StateId from, Edge edge);

  std::size_t states_max_;
  bool full_ = false;
  std::vector<std::uint32_t> first_edge_;
  std::vector<Edge> edges_;
  std::vector<Rule> rules_;
};

}  // namespace troupe::model::grammar
