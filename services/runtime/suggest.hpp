// "Did you mean": the known word nearest to a misspelt one.
#pragma once
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace troupe::services {

/// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`.
std::size_t edit_distance(std::string_view a, std::string_view b);

/// The shortest of `known` that ends with `word` as a part of its own (`--gateway-http-listen` for
/// `--http-listen`, `expert.rank` for `rank`); else the nearest, the first on ties; nothing when
/// all differ in more than a third of the word (at least 2 edits are always forgiven).
std::optional<std::string> nearest_word(std::string_view word, std::span<const std::string> known);

/// ". Did you mean --x?" or "." to end the sentence of an error.
std::string did_you_mean(std::string_view word, std::span<const std::string> known);

}  // namespace troupe::services
