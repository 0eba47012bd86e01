// Bounds of structured output: what one request may cost, whatever it asks.
#pragma once
#include <cstddef>
#include <cstdint>

namespace troupe::model {

/// Counts, not seconds: every machine refuses the same specs.
struct GrammarLimits {
  std::size_t spec_bytes_max = 256 * 1024;  // of schema or pattern
  std::size_t spec_depth_max = 96;          // nested groups or JSON values of the spec
  std::size_t nfa_states_max = 1 << 19;     // what repetitions are multiplied out to
  std::size_t states_max = 1 << 16;         // of the automaton
  std::size_t work_max = 10'000'000;        // elementary steps of making it deterministic
  std::uint32_t repeat_max = 10'000;        // {m,n}, minItems, maxLength and the like
  /// How deep an answer may nest through recursion (a $ref to itself, free JSON); deeper levels are
  /// not offered to the model.
  std::uint32_t answer_depth_max = 64;
  std::size_t alternatives_max = 32;       // ways to read one answer that are followed at once
  std::size_t cache_bytes_max = 24 << 20;  // masks and configurations kept per grammar
};

}  // namespace troupe::model
