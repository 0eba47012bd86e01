// Numbers between bounds, as languages of decimal digits.
#pragma once
#include <cstdint>
#include <optional>

#include "model/grammar/nfa.hpp"

namespace troupe::model::grammar {

/// Most digits of an integer, so that every reader's 64 bits hold it.
inline constexpr int kIntegerDigitsMax = 18;
inline constexpr std::int64_t kIntegerMax = 999'999'999'999'999'999;

/// Integers low..high without a fraction, "-0" left out; both within +-kIntegerMax. From a range
/// without numbers nothing leads on.
StateId write_integer_range(Nfa& nfa, StateId from, std::int64_t low, std::int64_t high);

/// Bounds of a number with a fraction; each a whole number within +-kNumberBoundMax.
struct NumberBound {
  std::int64_t value = 0;
  bool excluded = false;
};
inline constexpr std::int64_t kNumberBoundMax = 1'000'000'000;

/// Numbers between bounds, at least one of which is there: no exponent, at most 6 digits after the
/// point and 15 before it, so that the nearest double is on the same side of every bound.
StateId write_number_range(Nfa& nfa, StateId from, std::optional<NumberBound> low,
                           std::optional<NumberBound> high);

}  // namespace troupe::model::grammar
