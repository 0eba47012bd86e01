// Walks a JSON schema and writes each part of it as a language.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/expected.hpp"
#include "model/grammar/json_text.hpp"
#include "model/grammar/limits.hpp"
#include "model/grammar/nfa.hpp"
#include "model/grammar/schema_keywords.hpp"

namespace troupe::model::grammar {

/// One use per schema. After a failure everything that is written is without meaning; the first
/// failure is the one that is told.
class SchemaWriter {
 public:
  SchemaWriter(Nfa& nfa, const JsonValue& root, const GrammarLimits& limits)
      : nfa_(nfa), root_(root), limits_(limits) {}

  /// The rule that became the root.
  Expected<RuleId> write();

 private:
  StateId value(const SchemaPlace& place, StateId from);
  StateId keywords(const SchemaPlace& place, StateId from);
  StateId reference(const SchemaPlace& place, StateId from);
  StateId constants(const SchemaPlace& place, StateId from);
  StateId alternatives(const SchemaPlace& place, std::string_view keyword, StateId from);
  StateId one_type(const SchemaPlace& place, JsonType type, StateId from);

  StateId object(const SchemaPlace& place, StateId from);
  StateId array(const SchemaPlace& place, StateId from);
  StateId string(const SchemaPlace& place, StateId from);
  StateId integer(const SchemaPlace& place, StateId from);
  StateId number(const SchemaPlace& place, StateId from);

  struct Property {
    std::string name;
    SchemaPlace value;
    bool required = false;
  };
  std::vector<Property> properties_of(const SchemaPlace& place);
  void add_required(const SchemaPlace& place, std::vector<Property>& properties);
  /// The schema of members that are not declared, if there may be any.
  std::optional<SchemaPlace> additional_of(const SchemaPlace& place);
  StateId members(const std::vector<Property>& properties, const SchemaPlace* additional,
                  StateId inside);

  struct Items {
    std::size_t prefix = 0;
    std::optional<SchemaPlace> rest;
    std::uint32_t min = 0;
    std::optional<std::uint32_t> max;
  };
  std::optional<Items> items_of(const SchemaPlace& place);
  StateId element(const SchemaPlace& place, const Items& items, std::size_t index, StateId from);

  struct Bound {
    double value = 0;
    bool excluded = false;
    std::string path;
  };
  std::optional<Bound> bound(const SchemaPlace& place, std::string_view inclusive,
                             std::string_view exclusive, bool lower);

  RuleId rule_of(const SchemaPlace& place);
  const AnyRules& any();
  StateId nothing() { return nfa_.add_state(); }  // from here on no text fits
  StateId fail(Errc code, const std::string& path, const std::string& what);
  StateId fail(const Error& error);

  Nfa& nfa_;
  const JsonValue& root_;
  const GrammarLimits& limits_;
  std::map<const JsonValue*, RuleId> rules_;
  std::vector<SchemaPlace> unwritten_;  // rules that are named and not yet written
  std::optional<AnyRules> any_;
  std::optional<RuleId> character_;
  std::optional<Error> error_;
};

}  // namespace troupe::model::grammar
