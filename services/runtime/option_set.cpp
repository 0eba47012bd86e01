// Conversions from the text of a flag or variable to its value, and what is said when they fail.
#include "services/runtime/option_set.hpp"

#include <charconv>
#include <cmath>

namespace troupe::services {
namespace {

template <class T>
std::optional<T> parse_whole(std::string_view text) {
  T value{};
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// At most 40 bytes of what the user wrote, in quotes.
std::string quoted(std::string_view text) {
  constexpr std::size_t kShownMax = 40;
  std::string out("\"");
  out.append(text.substr(0, kShownMax));
  out.append(text.size() > kShownMax ? "...\"" : "\"");
  return out;
}

Unexpected expected_but_got(const std::string& wanted, std::string_view got) {
  return unexpected(Errc::invalid_argument, "takes " + wanted + ", not " + quoted(got));
}

std::string shortest(double value) {
  std::string text(32, '\0');
  const auto [end, failed] = std::to_chars(text.data(), text.data() + text.size(), value);
  return text.substr(0, failed == std::errc{} ? static_cast<std::size_t>(end - text.data()) : 0);
}

/// Calls `take` for each part of `text` between commas.
template <class Take>
Expected<void> for_each_part(std::string_view text, Take take) {
  while (true) {
    const std::size_t comma = text.find(',');
    if (auto taken = take(text.substr(0, comma)); !taken) return taken;
    if (comma == std::string_view::npos) return {};
    text.remove_prefix(comma + 1);
  }
}

}  // namespace

std::optional<double> parse_number(std::string_view text) {
  const auto value = parse_whole<double>(text);
  return value && std::isfinite(*value) ? value : std::nullopt;
}

std::optional<std::int64_t> parse_integer(std::string_view text) {
  return parse_whole<std::int64_t>(text);
}

std::string Option::environment() const {
  if (positional()) return "";
  std::string variable = "TROUPE_";
  for (const char c : name.substr(2)) {
    variable += c == '-' ? '_' : static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  }
  return variable;
}

OptionSet& OptionSet::group(std::string name, Shown shown) {
  group_ = std::move(name);
  shown_ = shown;
  return *this;
}

OptionSet& OptionSet::add(Option option) {
  option.group = group_;
  if (shown_ == Shown::help_all) option.shown = Shown::help_all;
  options_.push_back(std::move(option));
  return *this;
}

const Option* OptionSet::find(std::string_view name) const {
  for (const Option& option : options_) {
    if (option.name == name) return &option;
  }
  return nullptr;
}

Assign text(std::string& target) {
  return [&target](std::string_view value) -> Expected<void> {
    target = value;
    return {};
  };
}

Assign text_list(std::vector<std::string>& target) {
  return [&target](std::string_view value) -> Expected<void> {
    target.emplace_back(value);
    return {};
  };
}

Assign yes_no(bool& target) {
  return [&target](std::string_view value) -> Expected<void> {
    const bool yes = value == "true" || value == "1" || value == "yes" || value == "on";
    const bool no = value == "false" || value == "0" || value == "no" || value == "off";
    if (!yes && !no) return expected_but_got("true or false", value);
    target = yes;
    return {};
  };
}

Assign integer(std::optional<std::int64_t>& target, IntegerRange range) {
  return [&target, range](std::string_view value) -> Expected<void> {
    const auto parsed = parse_whole<std::int64_t>(value);
    if (!parsed || *parsed < range.min || *parsed > range.max) {
      return expected_but_got(
          "a whole number from " + std::to_string(range.min) + " to " + std::to_string(range.max),
          value);
    }
    target = *parsed;
    return {};
  };
}

Assign unsigned_integer(std::optional<std::uint64_t>& target) {
  return [&target](std::string_view value) -> Expected<void> {
    const auto parsed = parse_whole<std::uint64_t>(value);
    if (!parsed) return expected_but_got("a whole number from 0 to 18446744073709551615", value);
    target = *parsed;
    return {};
  };
}

Assign number(std::optional<float>& target, NumberRange range) {
  return [&target, range](std::string_view value) -> Expected<void> {
    const auto parsed = parse_number(value);
    const bool fits = parsed && *parsed <= range.max &&
                      (range.above_min ? *parsed > range.min : *parsed >= range.min);
    if (!fits) {
      return expected_but_got((range.above_min ? "a number above " : "a number from ") +
                                  shortest(range.min) + " to " + shortest(range.max),
                              value);
    }
    target = static_cast<float>(*parsed);
    return {};
  };
}

Assign choice(std::string& target, std::vector<std::string> choices) {
  return [&target, choices = std::move(choices)](std::string_view value) -> Expected<void> {
    std::string listed;
    for (const std::string& known : choices) {
      if (known == value) {
        target = value;
        return {};
      }
      listed += (listed.empty() ? "" : ", ") + known;
    }
    return expected_but_got("one of " + listed, value);
  };
}

constexpr double kNoBias = 1e9;  // out of range as well

Assign logit_biases(std::vector<std::pair<std::int32_t, float>>& target) {
  return [&target](std::string_view value) {
    return for_each_part(value, [&](std::string_view part) -> Expected<void> {
      const std::size_t equals = part.find('=');
      const auto id = parse_whole<std::int32_t>(part.substr(0, equals));
      // An empty text is no number.
      const auto value = equals == std::string_view::npos ? "" : part.substr(equals + 1);
      const double bias = parse_number(value).value_or(kNoBias);
      if (!id || *id < 0 || std::abs(bias) > 100) {
        return expected_but_got("ID=BIAS[,ID=BIAS...] with biases from -100 to 100", part);
      }
      target.emplace_back(*id, static_cast<float>(bias));
      return {};
    });
  };
}

Assign id_list(std::optional<std::vector<std::int32_t>>& target) {
  return [&target](std::string_view value) {
    if (!target) target.emplace();
    return for_each_part(value, [&](std::string_view part) -> Expected<void> {
      const auto id = parse_whole<std::int32_t>(part);
      if (!id || *id < 0) return expected_but_got("token ids as in 0,17,4", part);
      target->push_back(*id);
      return {};
    });
  };
}

}  // namespace troupe::services
