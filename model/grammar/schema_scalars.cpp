// Strings and numbers of a JSON schema.
#include <algorithm>
#include <array>

#include "model/grammar/number_range.hpp"
#include "model/grammar/regex.hpp"
#include "model/grammar/schema_writer.hpp"

namespace troupe::model::grammar {
namespace {

#define TROUPE_DATE                                                                           \
  "((000[1-9]|00[1-9]\\d|0[1-9]\\d\\d|[1-9]\\d{3})-((0[13578]|1[02])-(0[1-9]|[12]\\d|3[01])|" \
  "(0[469]|11)-(0[1-9]|[12]\\d|30)|02-(0[1-9]|1\\d|2[0-8]))|"                                 \
  "(\\d\\d(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00)-02-29)"
#define TROUPE_TIME \
  "([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,6})?(Z|[+-]([01]\\d|2[0-3]):[0-5]\\d)"
#define TROUPE_LABEL "[A-Za-z0-9]+(-[A-Za-z0-9]+)*"

struct Format {
  std::string_view name;
  std::string_view pattern;
};
/// *Source*: RFC 3339 (leap years by the calendar, no leap seconds), RFC 9562, RFC 5321 without
/// quoted names and addresses in brackets.
constexpr std::array<Format, 5> kFormats{
    {{"date", TROUPE_DATE},
     {"time", TROUPE_TIME},
     {"date-time", TROUPE_DATE "T" TROUPE_TIME},
     {"uuid", "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"},
     {"email", "[A-Za-z0-9_+-]+(\\.[A-Za-z0-9_+-]+)*@" TROUPE_LABEL "(\\." TROUPE_LABEL ")+"}}};

std::string format_names() {
  std::string names;
  for (const Format& format : kFormats)
    names += (names.empty() ? "" : ", ") + std::string(format.name);
  return names;
}

}  // namespace

StateId SchemaWriter::string(const SchemaPlace& place, StateId from) {
  const SchemaPlace pattern = place.member("pattern"), format = place.member("format");
  const auto min = count_of(place, "minLength"), max = count_of(place, "maxLength");
  if (!min) return fail({min.error().code, "JSON schema, " + min.error().detail});
  if (!max) return fail({max.error().code, "JSON schema, " + max.error().detail});
  const bool counted = *min || *max;
  if ((pattern.schema != nullptr) + (format.schema != nullptr) + counted > 1) {
    return fail(Errc::unsupported, place.path,
                "\"pattern\", \"format\" and \"minLength\" or \"maxLength\" are not supported "
                "together");
  }
  if (counted) {
    if (min->value_or(0) > limits_.repeat_max) {
      return fail(Errc::resource_exhausted, place.path + ".minLength",
                  "more than " + std::to_string(limits_.repeat_max));
    }
    if (*max && **max < min->value_or(0))
      return fail(Errc::invalid_argument, place.path + ".maxLength", "below minLength");
    Length length{.min = static_cast<std::uint32_t>(min->value_or(0)), .max = std::nullopt};
    if (*max)
      length.max = static_cast<std::uint32_t>(std::min<std::uint64_t>(**max, limits_.repeat_max));
    return write_counted_string(nfa_, from, length, character_);
  }
  const SchemaPlace& named = pattern.schema != nullptr ? pattern : format;
  if (named.schema == nullptr) return write_any_string(nfa_, from);
  const auto* text = named.schema->string();
  if (text == nullptr) return fail(Errc::malformed, named.path, "a string is expected");
  std::string_view expression = *text;
  if (pattern.schema == nullptr) {
    const auto* known = std::find_if(kFormats.begin(), kFormats.end(),
                                     [&](const Format& one) { return one.name == *text; });
    if (known == kFormats.end()) {
      return fail(Errc::unsupported, named.path,
                  quote_json(*text) + " is not supported; there are " + format_names());
    }
    expression = known->pattern;
  }
  const auto regex = parse_regex(
      expression, pattern.schema != nullptr ? Anchoring::search : Anchoring::whole, limits_);
  if (!regex) return fail(regex.error().code, named.path, regex.error().detail);
  return nfa_.literal(write_regex(nfa_, nfa_.literal(from, "\""), *regex, Spelling::json_string),
                      "\"");
}

std::optional<SchemaWriter::Bound> SchemaWriter::bound(const SchemaPlace& place,
                                                       std::string_view inclusive,
                                                       std::string_view exclusive, bool lower) {
  std::optional<Bound> result;
  for (const std::string_view keyword : {inclusive, exclusive}) {
    const SchemaPlace at = place.member(keyword);
    if (at.schema == nullptr) continue;
    const auto value = at.schema->number();
    if (!value) {
      fail(Errc::malformed, at.path, "a number is expected");
      return std::nullopt;
    }
    const bool tighter = !result || (lower ? *value >= result->value : *value <= result->value);
    if (tighter) result = Bound{*value, keyword == exclusive, at.path};
  }
  return result;
}

StateId SchemaWriter::integer(const SchemaPlace& place, StateId from) {
  const auto low = bound(place, "minimum", "exclusiveMinimum", true);
  const auto high = bound(place, "maximum", "exclusiveMaximum", false);
  if (error_) return from;
  std::int64_t least = -kIntegerMax, most = kIntegerMax;
  constexpr double kBig = 9e17;  // below it, doubles convert to 64 bits and stay within 18 digits
  for (const auto* end : {&low, &high}) {
    if (!*end) continue;
    const double value = (*end)->value;
    const bool lower = end == &low;
    if (value > kBig || value < -kBig) {
      if ((value > 0) == lower) {
        return fail(Errc::unsupported, (*end)->path,
                    "integers of more than " + std::to_string(kIntegerDigitsMax) +
                        " digits are not supported");
      }
      continue;  // it excludes nothing that is written
    }
    auto whole = static_cast<std::int64_t>(value);  // towards zero
    const auto back = static_cast<double>(whole);
    if (lower) {
      if (back < value || (back == value && (*end)->excluded)) ++whole;
      least = whole;
    } else {
      if (back > value || (back == value && (*end)->excluded)) --whole;
      most = whole;
    }
  }
  if (least > most)
    return fail(Errc::invalid_argument, place.path, "no integer is within the bounds");
  return write_integer_range(nfa_, from, least, most);
}

StateId SchemaWriter::number(const SchemaPlace& place, StateId from) {
  const auto low = bound(place, "minimum", "exclusiveMinimum", true);
  const auto high = bound(place, "maximum", "exclusiveMaximum", false);
  if (error_) return from;
  if (!low && !high) return write_any_number(nfa_, from);
  std::optional<NumberBound> ends[2];
  for (const auto* end : {&low, &high}) {
    if (!*end) continue;
    const double value = (*end)->value;
    const auto limit = static_cast<double>(kNumberBoundMax);
    if (value > limit || value < -limit ||
        static_cast<double>(static_cast<std::int64_t>(value)) != value) {
      return fail(Errc::unsupported, (*end)->path,
                  "bounds of numbers are whole and within 1e9; integers may have any");
    }
    ends[end == &high] = NumberBound{static_cast<std::int64_t>(value), (*end)->excluded};
  }
  return write_number_range(nfa_, from, ends[0], ends[1]);
}

}  // namespace troupe::model::grammar
