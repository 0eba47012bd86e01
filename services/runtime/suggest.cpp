// Optimal string alignment distance over three rows.
#include "services/runtime/suggest.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

namespace troupe::services {

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1), above(b.size() + 1), row(b.size() + 1);
  std::iota(above.begin(), above.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, replaced});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    std::swap(before, above);
    std::swap(above, row);
  }
  return above[b.size()];
}

namespace {

/// The shortest of `known` whose last parts are `word`.
std::optional<std::string> longer_word(std::string_view word, std::span<const std::string> known) {
  constexpr std::size_t kWordMin = 3;  // fewer letters end many words
  const std::size_t begin = std::min(word.find_first_not_of('-'), word.size());
  const std::string_view part = word.substr(begin);
  std::optional<std::string> shortest;
  if (part.size() < kWordMin) return shortest;
  for (const std::string& candidate : known) {
    if (candidate.size() <= word.size() || !candidate.ends_with(part)) continue;
    const char before = candidate[candidate.size() - part.size() - 1];
    if (before != '-' && before != '.') continue;
    if (!shortest || candidate.size() < shortest->size()) shortest = candidate;
  }
  return shortest;
}

}  // namespace

std::optional<std::string> nearest_word(std::string_view word, std::span<const std::string> known) {
  constexpr std::size_t kWordMax = 64;  // longer ones are no misspelt flags
  if (word.size() > kWordMax) return std::nullopt;
  if (auto longer = longer_word(word, known)) return longer;
  std::optional<std::string> best;
  std::size_t best_distance = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const std::string& candidate : known) {
    const std::size_t distance = edit_distance(word, candidate);
    if (distance >= best_distance) continue;
    best_distance = distance;
    best = candidate;
  }
  return best;
}

std::string did_you_mean(std::string_view word, std::span<const std::string> known) {
  const auto nearest = nearest_word(word, known);
  return nearest ? ". Did you mean " + *nearest + "?" : ".";
}

}  // namespace troupe::services
