// Which kind of schema it is: a reference, constants, alternatives or types.
#include "model/grammar/schema_writer.hpp"

#include "model/grammar/schema.hpp"
#include "model/grammar/schema_overlap.hpp"

namespace troupe::model::grammar {

StateId SchemaWriter::fail(Errc code, const std::string& path, const std::string& what) {
  return fail({code, "JSON schema, " + path + ": " + what});
}

StateId SchemaWriter::fail(const Error& error) {
  if (!error_) error_ = error;
  return nothing();
}

Expected<RuleId> SchemaWriter::write() {
  const RuleId root = rule_of({&root_, "$"});
  while (!unwritten_.empty() && !error_ && !nfa_.full()) {
    const SchemaPlace place = std::move(unwritten_.back());
    unwritten_.pop_back();
    const RuleId rule = rules_.at(place.schema);
    nfa_.epsilon(value(place, nfa_.rule_begin(rule)), nfa_.rule_end(rule));
  }
  if (error_) return unexpected(*error_);
  return root;
}

RuleId SchemaWriter::rule_of(const SchemaPlace& place) {
  const auto known = rules_.find(place.schema);
  if (known != rules_.end()) return known->second;
  const RuleId rule = nfa_.add_rule();
  rules_.emplace(place.schema, rule);
  unwritten_.push_back(place);
  return rule;
}

const AnyRules& SchemaWriter::any() {
  if (!any_) any_ = add_any_rules(nfa_);
  return *any_;
}

StateId SchemaWriter::value(const SchemaPlace& place, StateId from) {
  if (error_ || nfa_.full()) return from;
  if (const auto flag = place.schema->boolean())
    return *flag ? nfa_.call(from, any().value) : nothing();
  if (const auto known = check_keywords(place); !known)
    return fail({known.error().code, "JSON schema, " + known.error().detail});
  return keywords(place, from);
}

StateId SchemaWriter::keywords(const SchemaPlace& place, StateId from) {
  const JsonValue& schema = *place.schema;
  if (schema.find("$ref") != nullptr) return reference(place, from);
  if (schema.find("const") != nullptr || schema.find("enum") != nullptr)
    return constants(place, from);
  for (const char* keyword : {"anyOf", "oneOf", "allOf"}) {
    if (schema.find(keyword) != nullptr) return alternatives(place, keyword, from);
  }
  const auto types = types_of(place);
  if (!types) return fail({types.error().code, "JSON schema, " + types.error().detail});
  if (schema.find("type") == nullptr && *types == kAllTypes - bit(JsonType::integer))
    return nfa_.call(from, any().value);
  const StateId to = nfa_.add_state();
  for (std::size_t i = 0; i < kJsonTypes; ++i) {
    const auto type = static_cast<JsonType>(i);
    if (*types & bit(type)) nfa_.epsilon(one_type(place, type, from), to);
  }
  return to;
}

StateId SchemaWriter::reference(const SchemaPlace& place, StateId from) {
  if (const auto other = asserts_beside(place, {"$ref"}))
    return fail(Errc::unsupported, place.path,
                quote_json(*other) + " beside \"$ref\" is not supported");
  const auto target = resolve_reference(root_, place);
  if (!target) return fail({target.error().code, "JSON schema, " + target.error().detail});
  return nfa_.call(from, rule_of(*target));
}

StateId SchemaWriter::constants(const SchemaPlace& place, StateId from) {
  if (const auto other = asserts_beside(place, {"const", "enum", "type"})) {
    return fail(Errc::unsupported, place.path,
                quote_json(*other) + " beside \"enum\" or \"const\" is not supported");
  }
  const auto types = types_of(place);
  if (!types) return fail({types.error().code, "JSON schema, " + types.error().detail});
  const JsonValue* listed = place.schema->find("enum");
  if (listed != nullptr && listed->array() == nullptr)
    return fail(Errc::malformed, place.path + ".enum", "a list of values is expected");
  const auto values = constants_of(*place.schema, *types);
  if (values.empty())
    return fail(Errc::invalid_argument, place.path, "no value is left that all keywords allow");
  const StateId to = nfa_.add_state();
  for (const JsonValue* constant : values) {
    nfa_.epsilon(write_exact_value(nfa_, from, *constant), to);
  }
  return to;
}

StateId SchemaWriter::alternatives(const SchemaPlace& place, std::string_view keyword,
                                   StateId from) {
  if (const auto other = asserts_beside(place, {keyword})) {
    return fail(Errc::unsupported, place.path,
                quote_json(*other) + " beside " + quote_json(keyword) + " is not supported");
  }
  const SchemaPlace list = place.member(keyword);
  const auto* schemas = list.schema->array();
  if (schemas == nullptr || schemas->empty())
    return fail(Errc::malformed, list.path, "a list of schemas is expected");
  if (keyword == "allOf" && schemas->size() > 1)
    return fail(Errc::unsupported, list.path, "more than one schema is not supported; merge them");
  if (keyword == "oneOf") {
    if (const auto pair = first_overlap(root_, list)) {
      return fail(Errc::unsupported, list.path,
                  "alternatives " + std::to_string(pair->first) + " and " +
                      std::to_string(pair->second) +
                      " may both match one value; use anyOf, or give both a required property "
                      "with different constants");
    }
  }
  const StateId to = nfa_.add_state();
  for (std::size_t i = 0; i < schemas->size() && !error_; ++i) {
    nfa_.epsilon(value(list.item(i), from), to);
  }
  return to;
}

StateId SchemaWriter::one_type(const SchemaPlace& place, JsonType type, StateId from) {
  switch (type) {
    case JsonType::null: return nfa_.literal(from, "null");
    case JsonType::boolean: {
      const StateId to = nfa_.literal(from, "true");
      nfa_.epsilon(nfa_.literal(from, "false"), to);
      return to;
    }
    case JsonType::integer: return integer(place, from);
    case JsonType::number: return number(place, from);
    case JsonType::string: return string(place, from);
    case JsonType::array: return array(place, from);
    case JsonType::object: return object(place, from);
  }
  return from;
}

Expected<void> write_json_object(Nfa& nfa) {
  const RuleId rule = nfa.add_rule();
  const AnyRules any = add_any_rules(nfa);
  nfa.epsilon(nfa.call(nfa.rule_begin(rule), any.object), nfa.rule_end(rule));
  return {};
}

Expected<void> write_schema(Nfa& nfa, std::string_view json, const GrammarLimits& limits) {
  const auto root = parse_json(json, {.depth_max = limits.spec_depth_max});
  if (!root) return unexpected(root.error().code, "JSON schema: " + root.error().detail);
  if (auto written = SchemaWriter(nfa, *root, limits).write(); !written)
    return unexpected(written.error());
  return {};
}

}  // namespace troupe::model::grammar
