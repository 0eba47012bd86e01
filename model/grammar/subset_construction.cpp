// States of the result are sets of states, found in order of discovery.
#include "model/grammar/subset_construction.hpp"

#include <algorithm>
#include <map>
#include <string>
#include <unordered_map>

namespace troupe::model::grammar {
namespace {

using Set = std::vector<StateId>;

struct HashSet {
  std::size_t operator()(const Set& set) const {
    std::uint64_t hash = 0xcbf29ce484222325u;
    for (const StateId state : set) hash = (hash ^ state) * 0x100000001b3u;
    return hash ^ hash >> 29;
  }
};

class Determinizer {
 public:
  Determinizer(const Nfa& nfa, const std::array<bool, 256>& usable, const GrammarLimits& limits)
      : nfa_(nfa), limits_(limits), seen_(nfa.states(), 0) {
    make_classes(usable);
    targets_.resize(result_.classes);
  }

  Expected<Automaton> run() {
    std::vector<StateId> begins;
    for (RuleId rule = 0; rule < nfa_.rules(); ++rule) {
      rule_end_ = nfa_.rule_end(rule);
      begins.push_back(state_of({nfa_.rule_begin(rule)}));
      for (; expanded_ < sets_.size(); ++expanded_) {
        if (!within_limits()) return unexpected(error_);
        expand(static_cast<StateId>(expanded_));
      }
    }
    if (!within_limits()) return unexpected(error_);
    result_.first_call.push_back(static_cast<std::uint32_t>(result_.calls.size()));
    for (Automaton::Call& call : result_.calls) call.enters = begins[call.enters];
    result_.start = begins.front();
    return std::move(result_);
  }

 private:
  // Classes are intervals between the ends of all ranges; bytes that cannot be written stand alone.
  void make_classes(const std::array<bool, 256>& usable) {
    std::array<bool, 257> begins{};
    begins[0] = true;
    for (const Nfa::Edge& edge : nfa_.edges()) {
      if (edge.kind != Nfa::EdgeKind::bytes) continue;
      begins[edge.low] = true;
      begins[edge.high + 1] = true;
    }
    for (std::size_t byte = 1; byte < 256; ++byte) {
      if (usable[byte] != usable[byte - 1]) begins[byte] = true;
    }
    std::size_t classes = 0;
    for (std::size_t byte = 0; byte < 256; ++byte) {
      if (begins[byte]) {
        ++classes;
        usable_.push_back(usable[byte]);
      }
      result_.class_of[byte] = static_cast<std::uint8_t>(classes - 1);
    }
    result_.classes = classes;
  }

  bool within_limits() {
    if (work_ > limits_.work_max || sets_.size() > limits_.states_max) {
      const bool states = sets_.size() > limits_.states_max;
      error_ = {Errc::resource_exhausted,
                states ? "the grammar needs more than " + std::to_string(limits_.states_max) +
                             " states; ask for fewer or shorter repetitions and alternatives"
                       : "the grammar takes too long to compile; ask for fewer overlapping "
                         "alternatives and repetitions"};
      return false;
    }
    return true;
  }

  // The states that `kernel` reaches without a byte and that do something: the set's identity.
  StateId state_of(Set kernel) {
    Set closed, stack = std::move(kernel);
    ++mark_;
    for (const StateId state : stack) seen_[state] = mark_;
    while (!stack.empty()) {
      const StateId state = stack.back();
      stack.pop_back();
      bool acts = state == rule_end_;
      for (auto i = nfa_.first_edge(state); i != Nfa::kNone; i = nfa_.edge(i).next) {
        ++work_;
        const Nfa::Edge& edge = nfa_.edge(i);
        if (edge.kind != Nfa::EdgeKind::epsilon) {
          acts = true;
        } else if (seen_[edge.to] != mark_) {
          seen_[edge.to] = mark_;
          stack.push_back(edge.to);
        }
      }
      if (acts) closed.push_back(state);
    }
    std::sort(closed.begin(), closed.end());
    const auto [known, added] = ids_.try_emplace(closed, static_cast<StateId>(sets_.size()));
    if (added) {
      result_.accepts.push_back(std::binary_search(closed.begin(), closed.end(), rule_end_));
      sets_.push_back(std::move(closed));
    }
    return known->second;
  }

  void expand(StateId id) {
    std::map<RuleId, Set> calls;
    for (Set& targets : targets_) targets.clear();
    for (const StateId state : sets_[id]) {
      for (auto i = nfa_.first_edge(state); i != Nfa::kNone; i = nfa_.edge(i).next) {
        const Nfa::Edge& edge = nfa_.edge(i);
        if (edge.kind == Nfa::EdgeKind::call) calls[edge.rule].push_back(edge.to);
        if (edge.kind != Nfa::EdgeKind::bytes) continue;
        for (std::size_t c = result_.class_of[edge.low]; c <= result_.class_of[edge.high]; ++c) {
          ++work_;
          if (usable_[c]) targets_[c].push_back(edge.to);
        }
      }
    }
    StateId to = Automaton::kDead;
    for (std::size_t c = 0; c < targets_.size(); ++c) {
      if (c == 0 || targets_[c] != targets_[c - 1]) {
        to = targets_[c].empty() ? Automaton::kDead : state_of(targets_[c]);
      }
      result_.next.push_back(to);
    }
    result_.first_call.push_back(static_cast<std::uint32_t>(result_.calls.size()));
    for (auto& [rule, returns] : calls) {  // rules become states when all are known
      result_.calls.push_back({.enters = rule, .returns_to = state_of(std::move(returns))});
    }
    sets_[id] = {};
  }

  const Nfa& nfa_;
  const GrammarLimits& limits_;
  Automaton result_;
  std::vector<bool> usable_;  // per class
  std::vector<Set> targets_;  // per class
  StateId rule_end_ = 0;
  std::vector<Set> sets_;  // emptied once expanded: ids_ keeps them
  std::unordered_map<Set, StateId, HashSet> ids_;
  std::size_t expanded_ = 0;
  std::vector<std::uint32_t> seen_;
  std::uint32_t mark_ = 0;
  std::size_t work_ = 0;
  Error error_;
};

}  // namespace

Expected<Automaton> determinize(const Nfa& nfa, const std::array<bool, 256>& usable,
                                const GrammarLimits& limits) {
  return Determinizer(nfa, usable, limits).run();
}

}  // namespace troupe::model::grammar
