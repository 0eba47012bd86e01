// Each way to ask for a form becomes one grammar.
#include "services/gateway/http/format_request.hpp"

#include <algorithm>
#include <array>

#include "model/tokenizer/utf8.hpp"

namespace troupe::services::http {
namespace {

using Kind = model::GrammarSpec::Kind;

/// Schemas are objects, or true; vLLM takes their text as well.
std::optional<std::string> read_schema(FieldReader& fields, const char* key, bool text_too) {
  const JsonValue* schema = fields.any(key);
  if (schema == nullptr) return std::nullopt;
  if (text_too && schema->string() != nullptr) return *schema->string();
  if (schema->object() != nullptr || schema->boolean()) return model::to_json(*schema);
  fields.fail(key, "takes a JSON schema, an object, not " + type_name(*schema));
  return std::nullopt;
}

FormatCall read_json_schema(FieldReader& format, Findings& findings) {
  const auto* named = format.object("json_schema");
  if (named == nullptr) {
    if (format.any("json_schema") == nullptr)
      format.fail("json_schema", "is absent: {\"name\": ..., \"schema\": {...}}");
    return {};
  }
  FieldReader inner(*named, format.path("json_schema."), findings);
  inner.text("name");
  inner.text("description");
  inner.boolean("strict");  // every answer keeps to its schema
  const auto schema = read_schema(inner, "schema", false);
  if (inner.any("schema") == nullptr) inner.fail("schema", "is absent: the JSON schema");
  inner.ignore_rest();
  return {{Kind::json_schema, schema.value_or("")}, inner.path("schema")};
}

FormatCall read_response_format(FieldReader& fields, Findings& findings) {
  const auto* object = fields.object("response_format");
  if (object == nullptr) return {};
  FieldReader format(*object, "response_format.", findings);
  const std::string type = format.text("type").value_or("");
  FormatCall out;
  if (type == "json_schema") {
    out = read_json_schema(format, findings);
  } else if (type == "json_object") {
    const auto schema = read_schema(format, "schema", false);  // as llama-server takes it
    out.grammar.kind = schema ? Kind::json_schema : Kind::json_object;
    out.grammar.text = schema.value_or("");
    if (schema) out.field = format.path("schema");
  } else if (type == "regex") {
    const auto pattern = format.text("pattern");
    if (!pattern) format.fail("pattern", "is absent: the regular expression");
    out = {{Kind::regex, pattern.value_or("")}, format.path("pattern")};
  } else if (type != "text") {
    format.fail("type", "takes text, json_object, json_schema or regex, not " +
                            model::quote_json(model::utf8_prefix(type, 40)));
  }
  format.ignore_rest();
  return out;
}

/// A pattern that matches these texts and nothing else.
std::string any_of(const std::vector<std::string>& texts) {
  static constexpr std::string_view kSigns = "\\^$.*+?()[]{}|";
  std::string pattern;
  for (const std::string& text : texts) {
    if (!pattern.empty()) pattern += '|';
    pattern += "(?:";
    for (const char c : text) {
      if (kSigns.find(c) != kSigns.npos) pattern += '\\';
      pattern += c;
    }
    pattern += ')';
  }
  return pattern;
}

/// A list of texts, of which the answer is one.
std::optional<std::string> read_choices(FieldReader& fields, const char* key) {
  const auto* list = fields.array(key);
  if (list == nullptr) return std::nullopt;
  const auto texts = fields.texts(key);
  if (list->empty()) fields.fail(key, "takes at least one text that the answer may be");
  return any_of(texts);
}

/// {"json": schema}, {"regex": pattern}, {"choice": [text, ...]} or {"json_object": true}.
FormatCall read_structured(FieldReader& fields, Findings& findings) {
  const auto* object = fields.object("structured_outputs");
  if (object == nullptr) return {};
  FieldReader inner(*object, "structured_outputs.", findings);
  FormatCall out;
  if (const auto schema = read_schema(inner, "json", true))
    out = {{Kind::json_schema, *schema}, inner.path("json")};
  if (const auto pattern = inner.text("regex"))
    out = {{Kind::regex, *pattern}, inner.path("regex")};
  if (const auto choices = read_choices(inner, "choice"))
    out = {{Kind::regex, *choices}, inner.path("choice")};
  if (inner.boolean("json_object").value_or(false))
    out = {{Kind::json_object, ""}, inner.path("json_object")};
  for (const JsonMember& other : *object) {
    static constexpr std::array kKnown{"json", "regex", "choice", "json_object"};
    if (std::find(kKnown.begin(), kKnown.end(), other.key) == kKnown.end()) inner.refuse(other.key);
  }
  return out;
}

}  // namespace

FormatCall read_format(FieldReader& fields, Findings& findings) {
  std::vector<FormatCall> given{read_response_format(fields, findings)};
  if (const auto schema = read_schema(fields, "guided_json", true))
    given.push_back({{Kind::json_schema, *schema}, "guided_json"});
  if (const auto pattern = fields.text("guided_regex"))
    given.push_back({{Kind::regex, *pattern}, "guided_regex"});
  if (const auto choices = read_choices(fields, "guided_choice"))
    given.push_back({{Kind::regex, *choices}, "guided_choice"});
  given.push_back(read_structured(fields, findings));
  // Leaving these out would change what comes.
  for (const char* key : {"guided_grammar", "grammar", "json_schema", "regex"}) fields.refuse(key);
  FormatCall out;
  for (FormatCall& one : given) {
    if (one.grammar.kind == Kind::none) continue;
    if (out.grammar.kind != Kind::none)
      fields.fail(one.field,
                  "is one form too many, beside " + out.field + ". Leave one of them out");
    out = std::move(one);
  }
  return out;
}

}  // namespace troupe::services::http
