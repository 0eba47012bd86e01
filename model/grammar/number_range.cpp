// Digit by digit, remembering whether the digits so far equal those of a bound.
#include "model/grammar/number_range.hpp"

#include <algorithm>
#include <string>

namespace troupe::model::grammar {
namespace {

constexpr std::int64_t kWholeMax = 999'999'999'999'999;  // 15 digits
constexpr std::uint32_t kFractionDigitsMax = 6;

std::uint8_t digit(char c) { return static_cast<std::uint8_t>(c); }

/// Numbers of one length between `low` and `high`, both of that length. Three ways lead through the
/// digits: equal to low so far, equal to high so far, between them.
class EqualLengths {
 public:
  EqualLengths(Nfa& nfa, const std::string& low, const std::string& high, StateId end)
      : nfa_(nfa), low_(low), high_(high), end_(end) {
    between_.assign(low.size() + 1, Nfa::kNone);
    between_[low.size()] = end;
  }

  void write(StateId from) {
    std::size_t at = 0;
    for (; at < low_.size() && low_[at] == high_[at]; ++at) {
      from = next(from, low_[at], at + 1);
    }
    if (at == low_.size()) return;
    middle(from, low_[at] + 1, high_[at] - 1, at);
    edge(next(from, low_[at], at + 1), low_, at + 1, true);
    edge(next(from, high_[at], at + 1), high_, at + 1, false);
  }

 private:
  StateId next(StateId from, char c, std::size_t after) {
    if (after < low_.size()) return nfa_.bytes(from, digit(c), digit(c));
    nfa_.bytes(from, digit(c), digit(c), end_);
    return end_;
  }

  void edge(StateId from, const std::string& bound, std::size_t at, bool lower) {
    for (; at < bound.size(); ++at) {
      if (lower) {
        middle(from, bound[at] + 1, '9', at);
      } else {
        middle(from, '0', bound[at] - 1, at);
      }
      from = next(from, bound[at], at + 1);
    }
  }

  void middle(StateId from, int low, int high, std::size_t at) {
    if (low <= high) {
      nfa_.bytes(from, static_cast<std::uint8_t>(low), static_cast<std::uint8_t>(high),
                 between(at + 1));
    }
  }

  StateId between(std::size_t at) {
    if (between_[at] == Nfa::kNone) {
      between_[at] = nfa_.add_state();
      nfa_.bytes(between_[at], '0', '9', between(at + 1));
    }
    return between_[at];
  }

  Nfa& nfa_;
  const std::string& low_;
  const std::string& high_;
  StateId end_;
  std::vector<StateId> between_;
};

// 0 <= low.
void write_natural(Nfa& nfa, StateId from, std::int64_t low, std::int64_t high, StateId to) {
  std::int64_t first = 0;  // of the numbers with as many digits
  for (std::int64_t last = 9; low <= high && first <= high; last = last * 10 + 9) {
    const std::int64_t begin = std::max(low, first), end = std::min(high, last);
    if (begin <= end) {
      const std::string low_digits = std::to_string(begin), high_digits = std::to_string(end);
      EqualLengths(nfa, low_digits, high_digits, to).write(from);
    }
    if (last >= kIntegerMax) return;
    first = last + 1;
  }
}

// A point and digits, of which one at least is not 0 when `positive`.
void write_fraction(Nfa& nfa, StateId from, bool positive, StateId to) {
  StateId zeros = nfa.literal(from, "."), any = Nfa::kNone;
  for (std::uint32_t i = 0; i < kFractionDigitsMax; ++i) {
    const StateId next_any = nfa.add_state();
    nfa.bytes(zeros, '1', '9', next_any);
    if (any != Nfa::kNone) nfa.bytes(any, '0', '9', next_any);
    nfa.epsilon(next_any, to);
    zeros = nfa.bytes(zeros, '0', '0');
    if (!positive) nfa.epsilon(zeros, to);
    any = next_any;
  }
}

/// Numbers low..high without a sign, 0 <= low.
void write_unsigned(Nfa& nfa, StateId from, NumberBound low, NumberBound high, StateId to) {
  if (low.value > high.value) return;
  if (low.value < high.value) {
    const StateId at_low = nfa.add_state();
    write_natural(nfa, from, low.value, low.value, at_low);
    if (!low.excluded) nfa.epsilon(at_low, to);
    write_fraction(nfa, at_low, low.excluded, to);
    const StateId inside = nfa.add_state();
    write_natural(nfa, from, low.value + 1, high.value - 1, inside);
    nfa.epsilon(inside, to);
    write_fraction(nfa, inside, false, to);
    low.excluded = false;
  }
  if (!high.excluded && !low.excluded) write_natural(nfa, from, high.value, high.value, to);
}

}  // namespace

StateId write_integer_range(Nfa& nfa, StateId from, std::int64_t low, std::int64_t high) {
  const StateId to = nfa.add_state();
  if (high >= 0) write_natural(nfa, from, std::max<std::int64_t>(low, 0), high, to);
  if (low < 0) {
    write_natural(nfa, nfa.literal(from, "-"), std::max<std::int64_t>(1, -high), -low, to);
  }
  return to;
}

StateId write_number_range(Nfa& nfa, StateId from, std::optional<NumberBound> low,
                           std::optional<NumberBound> high) {
  const StateId to = nfa.add_state();
  const NumberBound least = low.value_or(NumberBound{-kWholeMax, false});
  const NumberBound most = high.value_or(NumberBound{kWholeMax, false});
  if (most.value >= 0) {
    write_unsigned(nfa, from, least.value < 0 ? NumberBound{0, false} : least, most, to);
  }
  if (least.value < 0) {
    const NumberBound nearest =
        most.value < 0 ? NumberBound{-most.value, most.excluded} : NumberBound{0, true};
    write_unsigned(nfa, nfa.literal(from, "-"), nearest, {-least.value, least.excluded}, to);
  }
  return to;
}

}  // namespace troupe::model::grammar
