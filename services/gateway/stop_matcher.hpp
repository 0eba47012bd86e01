// Finds the first stop string in a text that arrives in parts, and holds back what may become one.
#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::services {

/// The stop string that ends first wins, among those the longest: a function of the text, never of
/// how it was cut into parts. Time: bytes of text times stop strings.
/// *Threading*: one thread at a time.
class StopMatcher {
 public:
  /// Strings are not empty and valid UTF-8; so is every part: no character is ever cut. `include`:
  /// the one that matches is given out.
  explicit StopMatcher(std::vector<std::string> stops, bool include = false)
      : stops_(std::move(stops)), include_(include) {}

  /// Adds to `out` what cannot belong to a stop string any more. After a match nothing is added.
  void push(std::string_view text, std::string& out);
  /// Adds what was held back: nothing follows.
  void finish(std::string& out);
  /// Index of the stop string that came up; it, unless included, and what follows are left out.
  std::optional<std::size_t> matched() const { return matched_; }

 private:
  bool complete();
  std::size_t may_continue() const;

  std::vector<std::string> stops_;
  bool include_;
  std::string held_;  // shorter than the longest stop string between calls
  std::optional<std::size_t> matched_;
};

}  // namespace troupe::services
