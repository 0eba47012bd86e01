// Every stack is looked at once; the sorted set is the configuration's one form.
#include "model/grammar/closure.hpp"

#include <algorithm>

namespace troupe::model::grammar {
namespace {
constexpr std::size_t kSeenPerAlternative = 16;
}

void Closure::add(Stack stack) {
  // The first way down ends at a byte within answer_depth_max frames, so this never cuts off all.
  if (seen_.size() >= kSeenPerAlternative * limits_.alternatives_max) return;
  if (!fits(stack.back(), stack.size() - 1)) return;
  const auto [known, added] = seen_.insert(std::move(stack));
  if (!added) return;
  const Stack& here = *known;  // a set's elements do not move
  const StateId state = here.back();
  if (automaton_.accepts[state]) {
    if (here.size() == 1) {
      complete_ = true;
    } else {
      add({here.begin(), here.end() - 1});
    }
  }
  for (const Automaton::Call& call : automaton_.calls_of(state)) {
    if (!fits(call.returns_to, here.size() - 1)) continue;
    Stack inside = here;
    inside.back() = call.returns_to;
    inside.push_back(call.enters);
    add(std::move(inside));
  }
}

Configuration Closure::take() {
  Configuration result;
  result.complete = complete_;
  std::size_t kept = 0;
  for (const Stack& stack : seen_) {
    const std::uint32_t* row = &automaton_.next[stack.back() * automaton_.classes];
    const bool reads = std::any_of(row, row + automaton_.classes,
                                   [](StateId to) { return to != Automaton::kDead; });
    if (!reads || kept == limits_.alternatives_max) continue;
    ++kept;
    result.stacks.push_back(static_cast<std::uint32_t>(stack.size()));
    result.stacks.insert(result.stacks.end(), stack.begin(), stack.end());
  }
  return result;
}

}  // namespace troupe::model::grammar
