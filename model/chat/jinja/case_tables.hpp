// Case mappings beyond ASCII, as ranges sorted by character.
#pragma once
#include <cstdint>
#include <span>

namespace troupe::model::jinja {

/// Every `step`-th character of [first, last] maps to itself plus `delta`.
struct CaseRange {
  std::uint32_t first, last;
  std::int32_t step, delta;
};

/// A character whose mapping is several characters, given in UTF-8.
struct CaseSpecial {
  std::uint32_t character;
  const char* mapped;
};

struct CaseTable {
  std::span<const CaseRange> ranges;  // disjoint, ascending
  std::span<const CaseSpecial> specials;
};

extern const CaseTable kUpperCase;
extern const CaseTable kLowerCase;

}  // namespace troupe::model::jinja
