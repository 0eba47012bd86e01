// Writes JSON's grammar (RFC 8259), narrowed where the header says so.
#include "model/grammar/json_text.hpp"

#include "model/tokenizer/utf8.hpp"

namespace troupe::model::grammar {
namespace {

void join(Nfa& nfa, StateId from, StateId to) { nfa.epsilon(from, to); }

void write_digits(Nfa& nfa, StateId from, std::uint32_t min, std::uint32_t max, StateId to) {
  for (std::uint32_t i = 0; i < max; ++i) {
    from = nfa.bytes(from, '0', '9');
    if (i + 1 >= min) join(nfa, from, to);
  }
}

void write_hex(Nfa& nfa, StateId from, std::string_view first, StateId to) {
  for (const char c : first) {
    nfa.bytes(from, static_cast<std::uint8_t>(c), static_cast<std::uint8_t>(c), to);
  }
}

StateId write_hex(Nfa& nfa, StateId from, std::string_view digits) {
  const StateId to = nfa.add_state();
  write_hex(nfa, from, digits, to);
  return to;
}

// Any \uXXXX; halves of surrogate pairs only together.
void write_unicode_escape(Nfa& nfa, StateId backslash, StateId to) {
  constexpr std::string_view kHex = "0123456789abcdefABCDEF";
  const StateId u = nfa.literal(backslash, "u");
  const StateId two_left = nfa.add_state();
  write_hex(nfa, write_hex(nfa, u, "0123456789abcefABCEF"), kHex, two_left);
  const StateId d = write_hex(nfa, u, "dD");
  write_hex(nfa, d, "01234567", two_left);
  write_hex(nfa, write_hex(nfa, two_left, kHex), kHex, to);
  const StateId high = write_hex(nfa, write_hex(nfa, write_hex(nfa, d, "89abAB"), kHex), kHex);
  const StateId low = write_hex(nfa, nfa.literal(high, "\\u"), "dD");
  const StateId tail = write_hex(nfa, low, "cdefCDEF");
  write_hex(nfa, write_hex(nfa, tail, kHex), kHex, to);
}

// "{" or "[", elements between commas, "}" or "]"; an element goes from one state to another.
template <class Element>
StateId write_list(Nfa& nfa, StateId from, std::string_view brackets, Element&& element) {
  const StateId inside = write_space(nfa, nfa.literal(from, brackets.substr(0, 1)));
  const StateId begin = nfa.add_state();
  join(nfa, inside, begin);
  const StateId after = element(begin);
  join(nfa, write_space(nfa, nfa.literal(after, ",")), begin);
  const StateId end = nfa.literal(inside, brackets.substr(1));
  join(nfa, nfa.literal(write_space(nfa, after), brackets.substr(1)), end);
  return end;
}

}  // namespace

const CodePointSet& json_characters() {
  static const CodePointSet set = [] {
    CodePointSet all = CodePointSet::all().minus({{0, 0x1f}});
    for (const char32_t escaped : {'\b', '\f', '\n', '\r', '\t'}) all.add(escaped, escaped);
    return all;
  }();
  return set;
}

StateId write_space(Nfa& nfa, StateId from) {
  const StateId end = nfa.add_state();
  join(nfa, from, end);
  nfa.bytes(from, ' ', ' ', end);
  StateId at = nfa.literal(from, "\n");
  join(nfa, at, end);
  for (std::uint32_t i = 0; i < kIndentMax; ++i) {
    const StateId next = nfa.bytes(at, ' ', ' ');
    nfa.bytes(at, '\t', '\t', next);
    join(nfa, next, end);
    at = next;
  }
  return end;
}

StateId write_colon(Nfa& nfa, StateId from) {
  const StateId colon = nfa.literal(from, ":");
  const StateId end = nfa.literal(colon, " ");
  join(nfa, colon, end);
  return end;
}

StateId write_any_string(Nfa& nfa, StateId from) {
  const StateId inside = nfa.literal(from, "\"");
  const StateId loop = nfa.add_state();
  join(nfa, inside, loop);
  const CodePointSet plain{{0x20, '!'}, {'#', '['}, {']', CodePointSet::kMax}};
  join(nfa, write_character(nfa, loop, plain, Spelling::plain), loop);
  const StateId backslash = nfa.literal(loop, "\\");
  for (const char c : std::string_view("\"\\/bfnrt")) {
    nfa.bytes(backslash, static_cast<std::uint8_t>(c), static_cast<std::uint8_t>(c), loop);
  }
  write_unicode_escape(nfa, backslash, loop);
  return nfa.literal(loop, "\"");
}

StateId write_counted_string(Nfa& nfa, StateId from, Length length,
                             std::optional<RuleId>& character) {
  // Copies of a character cost 9 states each; calls of a rule cost one, and time when first met.
  constexpr std::uint32_t kCopiesMax = 64;
  const std::uint32_t count = length.max.value_or(length.min);
  if (count > kCopiesMax && !character) {
    character = nfa.add_rule();
    join(nfa,
         write_character(nfa, nfa.rule_begin(*character), json_characters(), Spelling::json_string),
         nfa.rule_end(*character));
  }
  const auto one = [&](StateId at) {
    return count > kCopiesMax ? nfa.call(at, *character)
                              : write_character(nfa, at, json_characters(), Spelling::json_string);
  };
  StateId at = nfa.literal(from, "\"");
  for (std::uint32_t i = 0; i < length.min && !nfa.full(); ++i) at = one(at);
  if (!length.max) {
    const StateId loop = nfa.add_state();
    join(nfa, at, loop);
    join(nfa, write_character(nfa, loop, json_characters(), Spelling::json_string), loop);
    return nfa.literal(loop, "\"");
  }
  const StateId end = nfa.add_state();
  join(nfa, at, end);
  for (std::uint32_t i = length.min; i < *length.max && !nfa.full(); ++i) {
    at = one(at);
    join(nfa, at, end);
  }
  return nfa.literal(end, "\"");
}

StateId write_exact_string(Nfa& nfa, StateId from, std::string_view text) {
  StateId at = nfa.literal(from, "\"");
  for (std::size_t i = 0; i < text.size();) {
    const CodePoint point = code_point_at(text, i);
    at = write_character(nfa, at, {{point.value, point.value}}, Spelling::json_string);
    i += point.bytes;
  }
  return nfa.literal(at, "\"");
}

StateId write_exact_value(Nfa& nfa, StateId from, const JsonValue& value) {
  if (const auto* text = value.string()) return write_exact_string(nfa, from, *text);
  const auto* items = value.array();
  const auto* members = value.object();
  if (items == nullptr && members == nullptr) return nfa.literal(from, to_json(value));
  StateId at = write_space(nfa, nfa.literal(from, items != nullptr ? "[" : "{"));
  bool first = true;
  const auto separate = [&] {
    if (!first) at = write_space(nfa, nfa.literal(at, ","));
    first = false;
  };
  if (items != nullptr) {
    for (const JsonValue& item : *items) {
      separate();
      at = write_exact_value(nfa, at, item);
    }
  } else {
    for (const JsonMember& member : *members) {
      separate();
      at = write_colon(nfa, write_exact_string(nfa, at, member.key));
      at = write_exact_value(nfa, at, member.value);
    }
  }
  if (!first) at = write_space(nfa, at);
  return nfa.literal(at, items != nullptr ? "]" : "}");
}

StateId write_any_number(Nfa& nfa, StateId from) {
  constexpr std::uint32_t kDigitsMax = 16, kExponentDigitsMax = 2;
  const StateId sign = nfa.add_state();
  join(nfa, from, sign);
  nfa.bytes(from, '-', '-', sign);
  const StateId whole = nfa.add_state();
  nfa.bytes(sign, '0', '0', whole);
  const StateId first = nfa.bytes(sign, '1', '9');
  join(nfa, first, whole);
  write_digits(nfa, first, 1, kDigitsMax - 1, whole);
  const StateId fraction = nfa.add_state();
  join(nfa, whole, fraction);
  write_digits(nfa, nfa.literal(whole, "."), 1, kDigitsMax, fraction);
  const StateId e = nfa.bytes(fraction, 'e', 'e');
  nfa.bytes(fraction, 'E', 'E', e);
  const StateId exponent = nfa.add_state();
  join(nfa, e, exponent);
  nfa.bytes(e, '+', '+', exponent);
  nfa.bytes(e, '-', '-', exponent);
  const StateId end = nfa.add_state();
  join(nfa, fraction, end);
  write_digits(nfa, exponent, 1, kExponentDigitsMax, end);
  return end;
}

AnyRules add_any_rules(Nfa& nfa) {
  const AnyRules rules{.value = nfa.add_rule(), .object = nfa.add_rule(), .array = nfa.add_rule()};
  const StateId begin = nfa.rule_begin(rules.value);
  const StateId end = nfa.rule_end(rules.value);
  for (const char* word : {"true", "false", "null"}) join(nfa, nfa.literal(begin, word), end);
  join(nfa, write_any_string(nfa, begin), end);
  join(nfa, write_any_number(nfa, begin), end);
  const auto value = [&](StateId at) { return nfa.call(at, rules.value); };
  const auto member = [&](StateId at) {
    return value(write_colon(nfa, write_any_string(nfa, at)));
  };
  join(nfa, write_list(nfa, begin, "{}", member), end);
  join(nfa, write_list(nfa, begin, "[]", value), end);
  join(nfa, write_list(nfa, nfa.rule_begin(rules.object), "{}", member),
       nfa.rule_end(rules.object));
  join(nfa, write_list(nfa, nfa.rule_begin(rules.array), "[]", value), nfa.rule_end(rules.array));
  return rules;
}

}  // namespace troupe::model::grammar
