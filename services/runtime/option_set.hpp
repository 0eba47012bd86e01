// The flags of one command as a table: what parsing, environment variables and help read from.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/expected.hpp"

namespace troupe::services {

/// Takes one value's text. *Errors*: `invalid_argument` that says what is taken ("a number ...").
using Assign = std::function<Expected<void>(std::string_view)>;

enum class Shown { first_screen, help_all };

/// One flag, or one positional argument if the name has no dashes.
struct Option {
  std::string name;   // "--max-tokens" or "PROMPT"
  std::string value;  // "N"; empty: a switch
  std::string help;   // one sentence without a full stop, default in brackets at the end
  Assign assign = {};
  std::string group = {};
  Shown shown = Shown::first_screen;
  bool repeats = false;
  bool required = false;
  Assign assign_variable = {};  // instead of `assign` for the variable's value, if it matters
  std::string letter = {};      // "-o", the short form

  bool positional() const { return name.front() != '-'; }
  bool is_switch() const { return value.empty() && !positional(); }
  /// TROUPE_MAX_TOKENS for --max-tokens; empty for positional arguments.
  std::string environment() const;
};

/// Options in the order help shows them.
class OptionSet {
 public:
  /// Following `add`s belong to this group of the help screen.
  OptionSet& group(std::string name, Shown shown = Shown::first_screen);
  OptionSet& add(Option option);

  const std::vector<Option>& all() const { return options_; }
  const Option* find(std::string_view name) const;

 private:
  std::vector<Option> options_;
  std::string group_;
  Shown shown_ = Shown::first_screen;
};

/// Makers of `Assign`; `target` must outlive the OptionSet.
Assign text(std::string& target);
Assign text_list(std::vector<std::string>& target);
Assign yes_no(bool& target);

struct IntegerRange {
  std::int64_t min = 0;
  std::int64_t max = 0;
};
Assign integer(std::optional<std::int64_t>& target, IntegerRange range);
Assign unsigned_integer(std::optional<std::uint64_t>& target);

/// [min, max], or (min, max] when `above_min`.
struct NumberRange {
  double min = 0;
  double max = 0;
  bool above_min = false;
};
Assign number(std::optional<float>& target, NumberRange range);
Assign choice(std::string& target, std::vector<std::string> choices);
/// "ID=BIAS[,ID=BIAS...]", bias in [-100, 100]; adds to the list.
Assign logit_biases(std::vector<std::pair<std::int32_t, float>>& target);
/// "1,2,3": adds to the list.
Assign id_list(std::optional<std::vector<std::int32_t>>& target);

/// All of `text` as a number, or nothing.
std::optional<double> parse_number(std::string_view text);
std::optional<std::int64_t> parse_integer(std::string_view text);

}  // namespace troupe::services
