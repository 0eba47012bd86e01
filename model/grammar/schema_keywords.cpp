// The table of keywords, and the small readers of their values.
#include "model/grammar/schema_keywords.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace troupe::model::grammar {
namespace {

constexpr std::array<std::string_view, 15> kAnnotations{
    "title",    "description", "default",         "examples",         "example",
    "$comment", "$schema",     "deprecated",      "readOnly",         "writeOnly",
    "$defs",    "definitions", "contentEncoding", "contentMediaType", "discriminator"};

struct TypeName {
  std::string_view name;
  JsonType type;
};
constexpr std::array<TypeName, kJsonTypes> kTypeNames{{{"null", JsonType::null},
                                                       {"boolean", JsonType::boolean},
                                                       {"integer", JsonType::integer},
                                                       {"number", JsonType::number},
                                                       {"string", JsonType::string},
                                                       {"array", JsonType::array},
                                                       {"object", JsonType::object}}};

struct Assertion {
  std::string_view keyword;
  JsonTypes speaks_of;  // the types it says something about; 0: all
};
constexpr std::array<Assertion, 22> kAssertions{{{"type", 0},
                                                 {"enum", 0},
                                                 {"const", 0},
                                                 {"anyOf", 0},
                                                 {"oneOf", 0},
                                                 {"allOf", 0},
                                                 {"$ref", 0},
                                                 {"properties", bit(JsonType::object)},
                                                 {"required", bit(JsonType::object)},
                                                 {"additionalProperties", bit(JsonType::object)},
                                                 {"items", bit(JsonType::array)},
                                                 {"prefixItems", bit(JsonType::array)},
                                                 {"minItems", bit(JsonType::array)},
                                                 {"maxItems", bit(JsonType::array)},
                                                 {"minLength", bit(JsonType::string)},
                                                 {"maxLength", bit(JsonType::string)},
                                                 {"pattern", bit(JsonType::string)},
                                                 {"format", bit(JsonType::string)},
                                                 {"minimum", bit(JsonType::number)},
                                                 {"maximum", bit(JsonType::number)},
                                                 {"exclusiveMinimum", bit(JsonType::number)},
                                                 {"exclusiveMaximum", bit(JsonType::number)}}};

const Assertion* assertion(std::string_view keyword) {
  const auto found = std::find_if(kAssertions.begin(), kAssertions.end(),
                                  [&](const Assertion& a) { return a.keyword == keyword; });
  return found == kAssertions.end() ? nullptr : &*found;
}

bool is_annotation(std::string_view keyword) {
  return std::find(kAnnotations.begin(), kAnnotations.end(), keyword) != kAnnotations.end();
}

Expected<JsonType> named_type(const JsonValue& name, const std::string& path) {
  const auto* text = name.string();
  if (text == nullptr) return unexpected(Errc::malformed, path + ": a type is a string");
  for (const TypeName& known : kTypeNames) {
    if (known.name == *text) return known.type;
  }
  return unexpected(Errc::malformed, path + ": " + quote_json(*text) + " is no JSON type");
}

/// "~1" is "/", "~0" is "~", "%41" is "A". *Source*: RFC 6901, section 6.
std::string unescaped(std::string_view token) {
  std::string text;
  for (std::size_t i = 0; i < token.size(); ++i) {
    unsigned value = 0;
    if (token[i] == '~' && i + 1 < token.size() && (token[i + 1] == '0' || token[i + 1] == '1')) {
      text += token[++i] == '0' ? '~' : '/';
    } else if (token[i] == '%' && i + 2 < token.size() &&
               std::from_chars(&token[i + 1], &token[i + 1] + 2, value, 16).ptr == &token[i] + 3) {
      text += static_cast<char>(value);
      i += 2;
    } else {
      text += token[i];
    }
  }
  return text;
}

}  // namespace

SchemaPlace SchemaPlace::member(std::string_view key) const {
  return {schema->find(key), path + "." + std::string(key)};
}

SchemaPlace SchemaPlace::item(std::size_t index) const {
  return {&(*schema->array())[index], path + "[" + std::to_string(index) + "]"};
}

JsonType type_of(const JsonValue& value) {
  if (value.is_null()) return JsonType::null;
  if (value.boolean()) return JsonType::boolean;
  if (value.string() != nullptr) return JsonType::string;
  if (value.array() != nullptr) return JsonType::array;
  if (value.object() != nullptr) return JsonType::object;
  const auto* real = std::get_if<double>(&value.data);
  constexpr double kExact = 9007199254740992.0;  // 2^53: doubles beyond have no fraction
  const bool whole = real == nullptr || *real >= kExact || *real <= -kExact ||
                     *real == static_cast<double>(static_cast<std::int64_t>(*real));
  return whole ? JsonType::integer : JsonType::number;
}

bool asserts(std::string_view keyword) { return assertion(keyword) != nullptr; }

Expected<void> check_keywords(const SchemaPlace& place) {
  const auto* members = place.schema->object();
  if (members == nullptr) {
    return unexpected(Errc::malformed, place.path + ": a schema is an object, true or false");
  }
  for (const JsonMember& member : *members) {
    if (asserts(member.key) || is_annotation(member.key)) continue;
    if (member.key == "$id" && place.path == "$") continue;  // elsewhere it would change references
    return unexpected(Errc::unsupported,
                      place.path + ": the keyword " + quote_json(member.key) +
                          " is not supported; docs/structured-output.md lists those that are");
  }
  return {};
}

std::optional<std::string> asserts_beside(const SchemaPlace& place,
                                          std::initializer_list<std::string_view> taken) {
  for (const JsonMember& member : *place.schema->object()) {
    if (asserts(member.key) && std::find(taken.begin(), taken.end(), member.key) == taken.end())
      return member.key;
  }
  return std::nullopt;
}

Expected<JsonTypes> types_of(const SchemaPlace& place) {
  JsonTypes types = 0;
  if (const JsonValue* type = place.schema->find("type")) {
    const std::string path = place.path + ".type";
    const auto* list = type->array();
    if (list == nullptr) {
      const auto one = named_type(*type, path);
      if (!one) return unexpected(one.error());
      return bit(*one);
    }
    for (const JsonValue& name : *list) {
      const auto one = named_type(name, path);
      if (!one) return unexpected(one.error());
      types |= bit(*one);
    }
    if (types == 0) return unexpected(Errc::malformed, path + ": an empty list of types");
  } else {
    for (const JsonMember& member : *place.schema->object()) {
      if (const Assertion* known = assertion(member.key)) types |= known->speaks_of;
    }
    if (types == 0) types = kAllTypes;
  }
  if (types & bit(JsonType::number)) types &= static_cast<JsonTypes>(~bit(JsonType::integer));
  return types;
}

Expected<std::optional<std::uint64_t>> count_of(const SchemaPlace& place,
                                                std::string_view keyword) {
  const JsonValue* value = place.schema->find(keyword);
  if (value == nullptr) return std::optional<std::uint64_t>();
  const auto number = value->number();
  if (!number || *number < 0 || type_of(*value) != JsonType::integer) {
    return unexpected(Errc::malformed, place.path + "." + std::string(keyword) +
                                           ": a whole number from 0 is expected");
  }
  constexpr double kHuge = 1e15;
  return std::optional<std::uint64_t>(*number > kHuge ? static_cast<std::uint64_t>(kHuge)
                                                      : static_cast<std::uint64_t>(*number));
}

Expected<SchemaPlace> resolve_reference(const JsonValue& root, const SchemaPlace& place) {
  const std::string path = place.path + ".$ref";
  const auto* text = place.schema->find("$ref")->string();
  if (text == nullptr) return unexpected(Errc::malformed, path + ": a reference is a string");
  if (*text != "#" && !text->starts_with("#/")) {
    return unexpected(
        Errc::unsupported,
        path + ": " + quote_json(*text) + " is not supported; references are \"#\" or \"#/...\"");
  }
  SchemaPlace at{&root, "$"};
  std::string_view rest = std::string_view(*text).substr(1);
  while (!rest.empty()) {
    rest.remove_prefix(1);
    const std::size_t end = std::min(rest.find('/'), rest.size());
    const std::string key = unescaped(rest.substr(0, end));
    rest.remove_prefix(end);
    std::size_t index = 0;
    const auto* items = at.schema->array();
    const bool is_index = items != nullptr &&
                          std::from_chars(key.data(), key.data() + key.size(), index).ptr ==
                              key.data() + key.size() &&
                          !key.empty() && index < items->size();
    at = is_index ? at.item(index) : at.member(key);
    if (at.schema == nullptr)
      return unexpected(Errc::not_found, path + ": " + quote_json(*text) + " names nothing");
  }
  return at;
}

}  // namespace troupe::model::grammar
