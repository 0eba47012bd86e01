// Objects and arrays of a JSON schema.
#include <algorithm>
#include <map>

#include "model/grammar/schema_writer.hpp"
#include "model/tokenizer/utf8.hpp"

namespace troupe::model::grammar {
namespace {

/// Keys that are none of some names, each spelled in one way.
class OtherKeys {
 public:
  explicit OtherKeys(Nfa& nfa) : nfa_(nfa), nodes_(1) {}

  void exclude(std::string_view name) {
    std::size_t node = 0;
    for (std::size_t at = 0; at < name.size();) {
      const CodePoint point = code_point_at(name, at);
      const auto [child, added] = nodes_[node].children.try_emplace(point.value, nodes_.size());
      const std::size_t next = child->second;
      if (added) nodes_.emplace_back();
      node = next;
      at += point.bytes;
    }
    nodes_[node].excluded = true;
  }

  StateId write(StateId from) {
    const StateId loop = nfa_.add_state();
    nfa_.epsilon(write_character(nfa_, loop, json_characters(), Spelling::json_string), loop);
    const StateId end = nfa_.literal(loop, "\"");
    std::vector<std::pair<std::size_t, StateId>> open{{0, nfa_.literal(from, "\"")}};
    while (!open.empty()) {
      const auto [index, at] = open.back();
      open.pop_back();
      CodePointSet others = json_characters();
      for (const auto& [character, child] : nodes_[index].children) {
        const CodePointSet one{{character, character}};
        others = others.minus(one);
        open.emplace_back(child, write_character(nfa_, at, one, Spelling::json_string));
      }
      nfa_.epsilon(write_character(nfa_, at, others, Spelling::json_string), loop);
      if (!nodes_[index].excluded) nfa_.bytes(at, '"', '"', end);
    }
    return end;
  }

 private:
  struct Node {
    std::map<char32_t, std::size_t> children;
    bool excluded = false;
  };
  Nfa& nfa_;
  std::vector<Node> nodes_;
};

}  // namespace

std::vector<SchemaWriter::Property> SchemaWriter::properties_of(const SchemaPlace& place) {
  std::vector<Property> properties;
  const SchemaPlace declared = place.member("properties");
  if (declared.schema != nullptr) {
    if (declared.schema->object() == nullptr) {
      fail(Errc::malformed, declared.path, "an object of schemas is expected");
      return {};
    }
    for (const JsonMember& member : *declared.schema->object()) {
      properties.push_back({member.key, declared.member(member.key), false});
    }
  }
  add_required(place, properties);
  return properties;
}

void SchemaWriter::add_required(const SchemaPlace& place, std::vector<Property>& properties) {
  const SchemaPlace required = place.member("required");
  if (required.schema == nullptr) return;
  if (required.schema->array() == nullptr) {
    fail(Errc::malformed, required.path, "a list of names is expected");
    return;
  }
  std::map<std::string_view, std::size_t> index;
  for (std::size_t i = 0; i < properties.size(); ++i) index[properties[i].name] = i;
  static const JsonValue kAnything{true};
  std::vector<Property> undeclared;
  std::map<std::string_view, bool> added;
  for (const JsonValue& name : *required.schema->array()) {
    const auto* text = name.string();
    if (text == nullptr) {
      fail(Errc::malformed, required.path, "a list of names is expected");
      return;
    }
    if (const auto known = index.find(*text); known != index.end()) {
      properties[known->second].required = true;
      continue;
    }
    if (added[*text]) continue;
    added[*text] = true;
    const SchemaPlace additional = place.member("additionalProperties");
    if (additional.schema != nullptr && additional.schema->boolean() == false) {
      fail(Errc::invalid_argument, required.path,
           quote_json(*text) + " is required, but not declared, and nothing else is allowed");
      return;
    }
    undeclared.push_back(
        {*text,
         {additional.schema != nullptr ? additional.schema : &kAnything, place.path + "." + *text},
         true});
  }
  properties.insert(properties.end(), undeclared.begin(), undeclared.end());
}

std::optional<SchemaPlace> SchemaWriter::additional_of(const SchemaPlace& place) {
  static const JsonValue kAnything{true};
  SchemaPlace additional = place.member("additionalProperties");
  if (additional.schema == nullptr) {
    // Members that nobody described are not offered, unless nothing was described at all.
    if (place.schema->find("properties") != nullptr) return std::nullopt;
    return SchemaPlace{&kAnything, place.path};
  }
  if (additional.schema->boolean() == false) return std::nullopt;
  return additional;
}

StateId SchemaWriter::object(const SchemaPlace& place, StateId from) {
  const auto properties = properties_of(place);
  const auto additional = additional_of(place);
  if (error_) return from;
  const bool anything = additional && additional->schema->boolean() == true;
  if (properties.empty() && anything) return nfa_.call(from, any().object);
  const StateId inside = write_space(nfa_, nfa_.literal(from, "{"));
  return members(properties, additional ? &*additional : nullptr, inside);
}

// Before property i, either nothing has been written (`empty`) or something has (`some`); `some`
// needs a comma. Both lead to one state where key i is expected, so that each value is written
// once.
StateId SchemaWriter::members(const std::vector<Property>& properties,
                              const SchemaPlace* additional, StateId inside) {
  StateId empty = nfa_.add_state(), some = nfa_.add_state();
  nfa_.epsilon(inside, empty);
  for (const Property& property : properties) {
    if (error_ || nfa_.full()) return inside;
    const StateId key = nfa_.add_state();
    nfa_.epsilon(empty, key);
    nfa_.epsilon(write_space(nfa_, nfa_.literal(some, ",")), key);
    const StateId colon = write_colon(nfa_, write_exact_string(nfa_, key, property.name));
    const StateId next_empty = nfa_.add_state(), next_some = nfa_.add_state();
    nfa_.epsilon(value(property.value, colon), next_some);
    if (!property.required) {
      nfa_.epsilon(empty, next_empty);
      nfa_.epsilon(some, next_some);
    }
    empty = next_empty;
    some = next_some;
  }
  if (additional != nullptr) {
    const StateId key = nfa_.add_state(), more = nfa_.add_state();
    nfa_.epsilon(some, more);
    nfa_.epsilon(empty, key);
    nfa_.epsilon(write_space(nfa_, nfa_.literal(more, ",")), key);
    OtherKeys others(nfa_);
    for (const Property& property : properties) others.exclude(property.name);
    nfa_.epsilon(value(*additional, write_colon(nfa_, others.write(key))), more);
    some = more;
  }
  const StateId end = nfa_.literal(empty, "}");
  nfa_.epsilon(nfa_.literal(write_space(nfa_, some), "}"), end);
  return end;
}

std::optional<SchemaWriter::Items> SchemaWriter::items_of(const SchemaPlace& place) {
  static const JsonValue kAnything{true};
  Items items;
  const SchemaPlace prefix = place.member("prefixItems");
  const SchemaPlace rest = place.member("items");
  if (prefix.schema != nullptr) {
    if (prefix.schema->array() == nullptr) {
      fail(Errc::malformed, prefix.path, "a list of schemas is expected");
      return std::nullopt;
    }
    items.prefix = prefix.schema->array()->size();
  }
  if (rest.schema != nullptr && rest.schema->array() != nullptr) {
    fail(Errc::unsupported, rest.path, "a list is not supported; use prefixItems");
    return std::nullopt;
  }
  if (rest.schema == nullptr) {
    if (prefix.schema == nullptr) items.rest = SchemaPlace{&kAnything, place.path};
  } else if (rest.schema->boolean() != false) {
    items.rest = rest;
  }
  const auto min = count_of(place, "minItems"), max = count_of(place, "maxItems");
  for (const auto* count : {&min, &max}) {
    if (!*count) {
      fail({count->error().code, "JSON schema, " + count->error().detail});
      return std::nullopt;
    }
  }
  std::uint64_t most = max->value_or(limits_.repeat_max);
  if (!items.rest) most = std::min<std::uint64_t>(most, items.prefix);
  if (min->value_or(0) > most || (*max && min->value_or(0) > **max)) {
    const bool limit = min->value_or(0) > limits_.repeat_max;
    fail(limit ? Errc::resource_exhausted : Errc::invalid_argument, place.path + ".minItems",
         limit ? "more than " + std::to_string(limits_.repeat_max) + " elements"
               : "more elements than there may be");
    return std::nullopt;
  }
  items.min = static_cast<std::uint32_t>(min->value_or(0));
  if (*max || !items.rest)
    items.max = static_cast<std::uint32_t>(std::min<std::uint64_t>(most, limits_.repeat_max));
  return items;
}

StateId SchemaWriter::element(const SchemaPlace& place, const Items& items, std::size_t index,
                              StateId from) {
  if (index < items.prefix) return value(place.member("prefixItems").item(index), from);
  return value(*items.rest, from);
}

// Elements that are counted one by one are calls of a rule "comma, element" once they are many.
StateId SchemaWriter::array(const SchemaPlace& place, StateId from) {
  constexpr std::uint32_t kCopiesMax = 4;
  const auto items = items_of(place);
  if (!items) return from;
  const StateId inside = write_space(nfa_, nfa_.literal(from, "["));
  const StateId close = nfa_.add_state();  // after the last element
  const StateId end = nfa_.literal(write_space(nfa_, close), "]");
  if (items->min == 0) nfa_.epsilon(nfa_.literal(inside, "]"), end);
  if (items->max == 0u) return end;

  const std::size_t prefix = items->prefix;
  const std::uint32_t counted = items->max.value_or(
      std::max<std::uint32_t>(items->min, static_cast<std::uint32_t>(prefix) + 1));
  std::optional<RuleId> next;
  if (counted > prefix + kCopiesMax) {
    next = nfa_.add_rule();
    const StateId comma = write_space(nfa_, nfa_.literal(nfa_.rule_begin(*next), ","));
    nfa_.epsilon(nfa_.call(comma, rule_of(*items->rest)), nfa_.rule_end(*next));
  }
  StateId at = inside, last_begin = inside;
  for (std::uint32_t i = 0; i < counted && !error_ && !nfa_.full(); ++i) {
    if (i > 0 && next && i >= prefix) {
      at = nfa_.call(at, *next);
    } else {
      last_begin = nfa_.add_state();
      nfa_.epsilon(i > 0 ? write_space(nfa_, nfa_.literal(at, ",")) : at, last_begin);
      const StateId done = nfa_.add_state();
      nfa_.epsilon(element(place, *items, i, last_begin), done);
      at = done;
    }
    if (i + 1 >= items->min) nfa_.epsilon(at, close);
  }
  if (items->max) return end;
  if (next) {
    const StateId loop = nfa_.add_state();
    nfa_.epsilon(at, loop);
    nfa_.epsilon(nfa_.call(loop, *next), loop);
    nfa_.epsilon(loop, close);
  } else {
    nfa_.epsilon(write_space(nfa_, nfa_.literal(at, ",")), last_begin);
  }
  return end;
}

}  // namespace troupe::model::grammar
