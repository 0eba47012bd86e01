// A 64-bit finaliser: equal inputs give equal bits on every machine, near ones unrelated bits.
#pragma once
#include <cstdint>

namespace troupe {

/// *Source*: SplitMix64, Steele, Lea and Flood 2014; the constants are theirs.
constexpr std::uint64_t mix64(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

}  // namespace troupe
