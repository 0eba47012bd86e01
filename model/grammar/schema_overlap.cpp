// Looks a few levels deep; "cannot tell" counts as overlapping.
#include "model/grammar/schema_overlap.hpp"

#include <algorithm>
#include <cstdlib>

namespace troupe::model::grammar {
namespace {

constexpr int kLevelsMax = 8;

/// Equal as JSON schema sees it: 1 and 1.0 are one value, members have no order.
bool equal(const JsonValue& a, const JsonValue& b) {
  if (const auto number = a.number()) return b.number() == number;
  if (const auto* text = a.string()) return b.string() != nullptr && *b.string() == *text;
  const auto* items = a.array();
  const auto* members = a.object();
  if (items != nullptr) {
    const auto* others = b.array();
    return others != nullptr &&
           std::equal(items->begin(), items->end(), others->begin(), others->end(), equal);
  }
  if (members != nullptr) {
    const auto* others = b.object();
    return others != nullptr && members->size() == others->size() &&
           std::all_of(members->begin(), members->end(), [&](const JsonMember& member) {
             const JsonValue* other = b.find(member.key);
             return other != nullptr && equal(member.value, *other);
           });
  }
  return a.is_null() ? b.is_null() : a.boolean() == b.boolean();
}

class Overlap {
 public:
  explicit Overlap(const JsonValue& root) : root_(root) {}

  /// Shown: no text written for `a` is a value of `b`.
  bool excludes(SchemaPlace a, SchemaPlace b, int level) {
    if (++steps_ > kStepsMax || level > kLevelsMax) return false;
    if (!resolve(a) || !resolve(b)) return false;
    if (const auto* list = options(a)) {
      return every(a, *list, [&](const SchemaPlace& one) { return excludes(one, b, level + 1); });
    }
    if (const auto* list = options(b)) {
      return every(b, *list, [&](const SchemaPlace& one) { return excludes(a, one, level + 1); });
    }
    const auto types_a = value_types(a), types_b = value_types(b);
    if (!types_a || !types_b) return false;
    steps_ += size_of(a) + size_of(b);
    if (const auto values = constants(a)) return none_matches(*values, b, *types_b);
    const JsonTypes both = overlap(*types_a, *types_b);
    if (both == 0) return true;
    return both == bit(JsonType::object) && !constants(b) && objects_exclude(a, b, level);
  }

 private:
  static constexpr std::size_t kStepsMax = 2'000'000;  // compared values and schemas

  /// What reading a schema's own keywords costs.
  static std::size_t size_of(const SchemaPlace& place) {
    std::size_t size = 0;
    for (const JsonMember& member : *place.schema->object()) {
      const auto* items = member.value.array();
      const auto* members = member.value.object();
      size +=
          1 + (items != nullptr ? items->size() : 0) + (members != nullptr ? members->size() : 0);
    }
    return size;
  }

  bool resolve(SchemaPlace& place) {
    for (int i = 0; i < kLevelsMax; ++i) {
      if (place.schema->object() == nullptr) return false;
      if (place.schema->find("$ref") == nullptr) return true;
      auto target = resolve_reference(root_, place);
      if (!target) return false;
      place = std::move(*target);
    }
    return false;
  }

  static const JsonValue::Array* options(SchemaPlace& place) {
    for (const char* keyword : {"anyOf", "oneOf", "allOf"}) {
      const JsonValue* list = place.schema->find(keyword);
      if (list == nullptr || list->array() == nullptr) continue;
      place = place.member(keyword);
      return list->array();
    }
    return nullptr;
  }

  template <class Shown>
  static bool every(const SchemaPlace& list, const JsonValue::Array& items, Shown&& shown) {
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (!shown(list.item(i))) return false;
    }
    return true;
  }

  static std::optional<std::vector<const JsonValue*>> constants(const SchemaPlace& place) {
    if (place.schema->find("const") == nullptr && place.schema->find("enum") == nullptr)
      return std::nullopt;
    const auto types = types_of(place);
    return constants_of(*place.schema, types ? *types : kAllTypes);
  }

  static std::optional<JsonTypes> value_types(const SchemaPlace& place) {
    if (const auto values = constants(place)) {
      JsonTypes types = 0;
      for (const JsonValue* value : *values) types |= bit(type_of(*value));
      return types;
    }
    const auto types = types_of(place);
    if (!types) return std::nullopt;
    // Without "type" a schema is written for some types only, but accepts values of all others.
    return place.schema->find("type") == nullptr ? kAllTypes : *types;
  }

  static JsonTypes overlap(JsonTypes a, JsonTypes b) {
    const auto widened = [](JsonTypes types) {
      return types & bit(JsonType::number) ? static_cast<JsonTypes>(types | bit(JsonType::integer))
                                           : types;
    };
    return widened(a) & widened(b);
  }

  bool none_matches(const std::vector<const JsonValue*>& values, const SchemaPlace& b,
                    JsonTypes types_b) {
    const auto others = constants(b);
    steps_ += values.size() * (others ? others->size() : 1);
    if (steps_ > kStepsMax) return false;
    return std::none_of(values.begin(), values.end(), [&](const JsonValue* value) {
      if (overlap(bit(type_of(*value)), types_b) == 0) return false;
      return !others || std::any_of(others->begin(), others->end(),
                                    [&](const JsonValue* other) { return equal(*value, *other); });
    });
  }

  static std::vector<std::string> required(const SchemaPlace& place) {
    std::vector<std::string> names;
    const JsonValue* list = place.schema->find("required");
    if (list == nullptr || list->array() == nullptr) return names;
    for (const JsonValue& name : *list->array()) {
      if (name.string() != nullptr) names.push_back(*name.string());
    }
    return names;
  }

  static const JsonValue* property(const SchemaPlace& place, std::string_view name) {
    const JsonValue* properties = place.schema->find("properties");
    return properties == nullptr ? nullptr : properties->find(name);
  }

  /// Members beyond those declared are written only where additionalProperties asks for them, or
  /// nothing at all is declared.
  static bool writes_others(const SchemaPlace& place) {
    const JsonValue* additional = place.schema->find("additionalProperties");
    if (additional != nullptr) return additional->boolean() != false;
    return place.schema->find("properties") == nullptr;
  }

  bool objects_exclude(const SchemaPlace& a, const SchemaPlace& b, int level) {
    const auto always = required(a);
    const auto wanted = required(b);
    for (const std::string& name : wanted) {
      const bool declared = property(a, name) != nullptr ||
                            std::find(always.begin(), always.end(), name) != always.end();
      if (!declared && !writes_others(a)) return true;
    }
    const JsonValue* additional = b.schema->find("additionalProperties");
    const bool closed = additional != nullptr && additional->boolean() == false;
    for (const std::string& name : always) {
      const JsonValue* ours = property(a, name);
      const JsonValue* theirs = property(b, name);
      if (closed && theirs == nullptr) return true;
      if (ours != nullptr && theirs != nullptr &&
          excludes({ours, a.path}, {theirs, b.path}, level + 1))
        return true;
    }
    return false;
  }

  const JsonValue& root_;
  std::size_t steps_ = 0;
};

}  // namespace

std::vector<const JsonValue*> constants_of(const JsonValue& schema, JsonTypes types) {
  std::vector<const JsonValue*> values;
  if (types & bit(JsonType::number)) types |= bit(JsonType::integer);
  const JsonValue* constant = schema.find("const");
  const JsonValue* list = schema.find("enum");
  const auto add = [&](const JsonValue& value) {
    const bool listed = constant == nullptr || equal(value, *constant);
    if (listed && (types & bit(type_of(value)))) values.push_back(&value);
  };
  if (list != nullptr && list->array() != nullptr) {
    for (const JsonValue& value : *list->array()) add(value);
  } else if (list == nullptr) {
    add(*constant);
  }
  return values;
}

std::optional<std::pair<std::size_t, std::size_t>> first_overlap(const JsonValue& root,
                                                                 const SchemaPlace& list) {
  Overlap overlap(root);
  const std::size_t count = list.schema->array()->size();
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t j = i + 1; j < count; ++j) {
      const bool shown = overlap.excludes(list.item(i), list.item(j), 0) &&
                         overlap.excludes(list.item(j), list.item(i), 0);
      if (!shown) return std::pair(i, j);
    }
  }
  return std::nullopt;
}

}  // namespace troupe::model::grammar
