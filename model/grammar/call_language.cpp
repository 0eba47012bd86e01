// Markers as their tokens, names as literals, arguments as schemas.
#include "model/grammar/call_language.hpp"

#include <utility>

#include "model/grammar/json_text.hpp"
#include "model/grammar/schema_writer.hpp"

namespace troupe::model {

GrammarSpec tool_calls_spec(ToolCallFormat format, std::span<const CallableFunction> functions,
                            bool several) {
  std::string text = "{\"format\":" + quote_json(to_string(format)) +
                     ",\"several\":" + (several ? "true" : "false") + ",\"functions\":[";
  for (const CallableFunction& function : functions) {
    if (text.back() != '[') text += ',';
    text += "{\"name\":" + quote_json(function.name);
    if (!function.parameters_json.empty()) text += ",\"parameters\":" + function.parameters_json;
    text += '}';
  }
  return {GrammarSpec::Kind::tool_calls, text + "]}"};
}

namespace grammar {
namespace {

/// What tool_calls_spec() wrote, taken apart.
struct CallPlan {
  ToolCallFormat format = ToolCallFormat::none;
  bool several = false;
  const JsonValue::Array* functions = nullptr;
};

Expected<CallPlan> read_plan(const JsonValue& json) {
  const auto* format = json.find("format");
  const auto* several = json.find("several");
  const auto* functions = json.find("functions");
  if (format == nullptr || format->string() == nullptr || several == nullptr ||
      !several->boolean() || functions == nullptr || functions->array() == nullptr)
    return unexpected(Errc::malformed, "tool calls: format, several and functions are expected");
  const auto known = parse_tool_call_format(*format->string());
  if (!known) return unexpected(known.error());
  if (*known == ToolCallFormat::none)
    return unexpected(Errc::unsupported, "tool calls: the model has no form for them");
  return CallPlan{*known, *several->boolean(), functions->array()};
}

Expected<void> check_markers(const TokenTable& tokens) {
  for (const Marker marker : {Marker::calls_begin, Marker::calls_end, Marker::call_begin,
                              Marker::call_end, Marker::separator}) {
    if (tokens.has_byte(TokenTable::byte_of(marker))) continue;
    return unexpected(Errc::unsupported, "tool calls: this vocabulary has no token for " +
                                             std::string(text_of(marker)));
  }
  return {};
}

/// The schema of a function's arguments, which are an object: says so where `parameters` does not.
Expected<JsonValue> arguments_schema(const JsonValue& parameters) {
  if (parameters.object() == nullptr)
    return unexpected(Errc::malformed, "a JSON schema, an object, is expected");
  if (const auto* type = parameters.find("type")) {
    if (type->string() != nullptr && *type->string() == "object") return parameters;
    return unexpected(Errc::invalid_argument,
                      "arguments are an object, so \"type\" has to be \"object\"");
  }
  for (const char* keyword : {"$ref", "anyOf", "oneOf", "allOf", "enum", "const"}) {
    if (parameters.find(keyword) != nullptr) return parameters;
  }
  JsonValue::Object members = *parameters.object();
  members.push_back({"type", {std::string("object")}});
  return JsonValue{std::move(members)};
}

/// Calls in one format.
class CallWriter {
 public:
  CallWriter(Nfa& nfa, ToolCallFormat format, const GrammarLimits& limits)
      : nfa_(nfa), fenced_(format == ToolCallFormat::deepseek_v3), limits_(limits) {}

  Expected<void> write(const CallPlan& plan) {
    const RuleId rule = nfa_.add_rule();
    const StateId begin = nfa_.add_state();
    nfa_.epsilon(marker(nfa_.rule_begin(rule), Marker::calls_begin), begin);
    StateId head = marker(begin, Marker::call_begin);
    if (fenced_) head = marker(nfa_.literal(head, "function"), Marker::separator);
    const StateId argued = nfa_.add_state();
    for (const JsonValue& function : *plan.functions) {
      auto end = call(function, head);
      if (!end) return unexpected(std::move(end).error());
      nfa_.epsilon(*end, argued);
    }
    const StateId ended =
        marker(fenced_ ? nfa_.literal(argued, "\n```") : argued, Marker::call_end);
    if (plan.several) nfa_.epsilon(fenced_ ? nfa_.literal(ended, "\n") : ended, begin);
    nfa_.epsilon(marker(ended, Marker::calls_end), nfa_.rule_end(rule));
    return {};
  }

 private:
  StateId marker(StateId from, Marker which) {
    const std::uint8_t byte = TokenTable::byte_of(which);
    return nfa_.bytes(from, byte, byte);
  }

  /// Name and arguments.
  Expected<StateId> call(const JsonValue& function, StateId from) {
    const auto* name = function.find("name");
    if (name == nullptr || name->string() == nullptr || name->string()->empty())
      return unexpected(Errc::malformed, "tool calls: a function without a name");
    const StateId named = nfa_.literal(from, *name->string());
    const StateId at =
        fenced_ ? nfa_.literal(named, "\n```json\n") : marker(named, Marker::separator);
    const auto* parameters = function.find("parameters");
    if (parameters == nullptr || parameters->is_null()) return nfa_.literal(at, "{}");
    const auto failed = [&](const Error& error) {
      return unexpected(error.code,
                        "parameters of " + quote_json(*name->string()) + ": " + error.detail);
    };
    const auto schema = arguments_schema(*parameters);
    if (!schema) return failed(schema.error());
    const auto arguments = SchemaWriter(nfa_, *schema, limits_).write();
    if (!arguments) return failed(arguments.error());
    return nfa_.call(at, *arguments);
  }

  Nfa& nfa_;
  const bool fenced_;
  const GrammarLimits& limits_;
};

}  // namespace

Expected<void> write_tool_calls(Nfa& nfa, std::string_view json, const TokenTable& tokens,
                                const GrammarLimits& limits) {
  const auto root = parse_json(json, {.depth_max = limits.spec_depth_max});
  if (!root) return unexpected(root.error().code, "tool calls: " + root.error().detail);
  const auto plan = read_plan(*root);
  if (!plan) return unexpected(plan.error());
  if (auto can = check_markers(tokens); !can) return can;
  return CallWriter(nfa, plan->format, limits).write(*plan);
}

}  // namespace grammar
}  // namespace troupe::model
