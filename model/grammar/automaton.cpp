// Cuts off whatever cannot be completed, and refuses rules that begin with themselves.
#include "model/grammar/automaton.hpp"

#include <algorithm>
#include <map>
#include <string>

#include "model/grammar/subset_construction.hpp"

namespace troupe::model::grammar {
namespace {

/// Computes Automaton::depth: 0 for accepting states, the minimum over bytes of the next state's,
/// and over calls of max(1 + depth of the rule's begin, depth of where it returns). Dijkstra with a
/// bucket per depth: a state is settled once, in order of depth.
class Depths {
 public:
  explicit Depths(Automaton& automaton) : a_(automaton) {}

  void compute() {
    collect_uses();
    a_.depth.assign(a_.states(), Automaton::kNever);
    buckets_.resize(1);
    for (StateId state = 0; state < a_.states(); ++state) {
      if (a_.accepts[state]) buckets_[0].push_back(state);
    }
    for (std::uint32_t depth = 0; depth < buckets_.size(); ++depth) {
      while (!buckets_[depth].empty()) {
        const StateId state = buckets_[depth].back();
        buckets_[depth].pop_back();
        if (a_.depth[state] == Automaton::kNever) settle(state, depth);
      }
    }
  }

 private:
  struct Use {
    StateId user = 0;
    std::uint32_t call = kByte;  // index of the call, or a step by bytes
  };
  static constexpr std::uint32_t kByte = 0xffffffff;

  void collect_uses() {
    std::vector<std::pair<StateId, Use>> uses;
    for (StateId state = 0; state < a_.states(); ++state) {
      StateId before = Automaton::kDead;
      for (std::size_t c = 0; c < a_.classes; ++c) {
        const StateId to = a_.step(state, static_cast<std::uint8_t>(c));
        if (to != Automaton::kDead && to != before) uses.push_back({to, {state, kByte}});
        before = to;
      }
      for (auto i = a_.first_call[state]; i < a_.first_call[state + 1]; ++i) {
        uses.push_back({a_.calls[i].enters, {state, i}});
        uses.push_back({a_.calls[i].returns_to, {state, i}});
      }
    }
    std::stable_sort(uses.begin(), uses.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    first_use_.assign(a_.states() + 1, 0);
    for (const auto& [used, use] : uses) {
      ++first_use_[used + 1];
      uses_.push_back(use);
    }
    for (std::size_t i = 1; i < first_use_.size(); ++i) first_use_[i] += first_use_[i - 1];
  }

  void settle(StateId state, std::uint32_t depth) {
    a_.depth[state] = depth;
    for (auto i = first_use_[state]; i < first_use_[state + 1]; ++i) {
      const Use& use = uses_[i];
      if (a_.depth[use.user] != Automaton::kNever) continue;
      std::uint32_t reached = depth;
      if (use.call != kByte) {
        const std::uint32_t inside = a_.depth[a_.calls[use.call].enters];
        const std::uint32_t after = a_.depth[a_.calls[use.call].returns_to];
        if (inside == Automaton::kNever || after == Automaton::kNever) continue;
        reached = std::max(inside + 1, after);
      }
      if (reached >= buckets_.size()) buckets_.resize(reached + 1);
      buckets_[reached].push_back(use.user);
    }
  }

  Automaton& a_;
  std::vector<std::uint32_t> first_use_;
  std::vector<Use> uses_;
  std::vector<std::vector<StateId>> buckets_;
};

void prune(Automaton& automaton) {
  const auto dead = [&](StateId state) { return automaton.depth[state] == Automaton::kNever; };
  for (StateId& to : automaton.next) {
    if (to != Automaton::kDead && dead(to)) to = Automaton::kDead;
  }
  std::vector<Automaton::Call> kept;
  std::uint32_t begin = 0;
  for (StateId state = 0; state < automaton.states(); ++state) {
    const std::uint32_t end = automaton.first_call[state + 1];
    automaton.first_call[state] = static_cast<std::uint32_t>(kept.size());
    for (auto i = begin; i < end; ++i) {
      const Automaton::Call& call = automaton.calls[i];
      if (!dead(call.enters) && !dead(call.returns_to)) kept.push_back(call);
    }
    begin = end;
  }
  automaton.first_call[automaton.states()] = static_cast<std::uint32_t>(kept.size());
  automaton.calls = std::move(kept);
}

/// A rule that begins with itself would be entered without end: some rules stay when those that
/// no other begins with are taken away again and again.
bool a_rule_begins_with_itself(const Automaton& automaton) {
  std::map<StateId, std::size_t> users;  // of each rule's begin, among the begins
  users[automaton.start];
  for (const Automaton::Call& call : automaton.calls) users[call.enters];
  for (const auto& [begin, count] : users) {
    for (const Automaton::Call& call : automaton.calls_of(begin)) ++users[call.enters];
  }
  std::vector<StateId> free;
  for (const auto& [begin, count] : users) {
    if (count == 0) free.push_back(begin);
  }
  std::size_t taken = 0;
  for (; !free.empty(); ++taken) {
    const StateId begin = free.back();
    free.pop_back();
    for (const Automaton::Call& call : automaton.calls_of(begin)) {
      if (--users[call.enters] == 0) free.push_back(call.enters);
    }
  }
  return taken < users.size();
}

}  // namespace

std::size_t Automaton::bytes() const {
  return next.size() * sizeof(StateId) + states() * (1 + 2 * sizeof(std::uint32_t)) +
         calls.size() * sizeof(Call);
}

Expected<Automaton> make_automaton(const Nfa& nfa, const std::array<bool, 256>& usable,
                                   const GrammarLimits& limits) {
  if (nfa.full()) {
    return unexpected(Errc::resource_exhausted,
                      "the grammar is larger than " + std::to_string(limits.nfa_states_max) +
                          " states before reduction; ask for fewer or shorter repetitions");
  }
  auto automaton = determinize(nfa, usable, limits);
  if (!automaton) return automaton;
  Depths(*automaton).compute();
  if (automaton->depth[automaton->start] == Automaton::kNever)
    return unexpected(Errc::invalid_argument, "no text can satisfy the grammar");
  if (automaton->depth[automaton->start] > limits.answer_depth_max) {
    return unexpected(Errc::resource_exhausted, "every answer would nest deeper than " +
                                                    std::to_string(limits.answer_depth_max));
  }
  prune(*automaton);
  if (a_rule_begins_with_itself(*automaton)) {
    return unexpected(Errc::invalid_argument,
                      "a $ref leads back to itself without any text in between");
  }
  return automaton;
}

}  // namespace troupe::model::grammar
