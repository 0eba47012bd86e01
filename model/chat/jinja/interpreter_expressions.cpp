// What the expressions of a template mean.
#include <algorithm>

#include "model/chat/jinja/builtins.hpp"
#include "model/chat/jinja/interpreter.hpp"
#include "model/chat/jinja/operators.hpp"
#include "model/chat/jinja/print.hpp"

namespace troupe::model::jinja {

Value Interpreter::evaluate(const Expression& expression) {
  const Frame frame(*this);
  if (!frame) return {};
  runtime_.line = expression.line;
  return std::visit([&](const auto& node) { return value_of(node); }, expression.node);
}

Value Interpreter::evaluate_optional(const ExpressionPtr& expression) {
  return expression ? evaluate(*expression) : Value::none();
}

Value Interpreter::value_of(const Literal& node) { return node.value; }

Value Interpreter::value_of(const Name& node) {
  if (const Value* value = scope_->find(node.name)) return *value;
  if (const Builtin* function = find_function(node.name)) return Value(Value::Data(function));
  return Value::undefined(in_quotes(node.name) + " is undefined");
}

Value Interpreter::value_of(const Collection& node) {
  std::vector<Value> items;
  for (const ExpressionPtr& item : node.items) items.push_back(evaluate(*item));
  return runtime_.list(std::move(items), node.is_tuple ? SequenceKind::tuple : SequenceKind::list);
}

Value Interpreter::value_of(const DictDisplay& node) {
  Dict dict;
  for (const auto& [key_expression, value_expression] : node.entries) {
    const Value key = evaluate(*key_expression);
    if (!is_key(key)) {
      return runtime_.fail(Errc::unsupported,
                           "a dict key of type '" + std::string(type_name(key)) + "'");
    }
    dict.set(key, evaluate(*value_expression));
  }
  return runtime_.dict(std::move(dict));
}

Value Interpreter::value_of(const Arithmetic& node) {
  Value result = evaluate(*node.first);
  for (const Operand& operand : node.rest) {
    const Value right = evaluate(*operand.value);
    runtime_.line = operand.line;
    if (runtime_.failed()) return {};
    result = arithmetic(runtime_, operand.op, result, right);
  }
  return result;
}

Value Interpreter::value_of(const Comparison& node) {
  Value left = evaluate(*node.first);
  for (const Operand& operand : node.rest) {
    Value right = evaluate(*operand.value);
    runtime_.line = operand.line;
    if (runtime_.failed()) return {};
    if (!compare(runtime_, operand.op, left, right)) return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(true);
}

Value Interpreter::value_of(const Logic& node) {
  Value result;
  for (const ExpressionPtr& operand : node.operands) {
    result = evaluate(*operand);
    if (truthy(result) != node.is_and) break;
  }
  return result;
}

Value Interpreter::value_of(const Unary& node) {
  const Value value = evaluate(*node.operand);
  if (runtime_.failed()) return {};
  if (node.sign == Sign::logical_not) return Value::boolean(!truthy(value));
  return negate(runtime_, value, node.sign == Sign::minus);
}

Value Interpreter::value_of(const Conditional& node) {
  if (truthy(evaluate(*node.condition))) return evaluate(*node.yes);
  if (node.no) return evaluate(*node.no);
  return Value::undefined("the inline if-expression has no else and its condition is false");
}

Value Interpreter::value_of(const Postfix& node) {
  Value value = evaluate(*node.base);
  for (const Suffix& suffix : node.suffixes) {
    if (runtime_.failed()) return {};
    value = apply(value, suffix, nullptr);
  }
  return value;
}

Value Interpreter::apply(const Value& value, const Suffix& suffix, const Value* caller) {
  if (!runtime_.charge()) return {};
  if (const auto* attribute = std::get_if<Attribute>(&suffix.what)) {
    runtime_.line = suffix.line;
    return get_attribute(runtime_, value, Text(attribute->name, true));
  }
  if (const auto* subscript = std::get_if<Subscript>(&suffix.what)) {
    const Value index = evaluate(*subscript->index);
    runtime_.line = suffix.line;
    return get_item(runtime_, value, index);
  }
  if (const auto* slice = std::get_if<Slice>(&suffix.what)) {
    const Value start = evaluate_optional(slice->start), stop = evaluate_optional(slice->stop);
    const Value step = evaluate_optional(slice->step);
    runtime_.line = suffix.line;
    return get_slice(runtime_, value, start, stop, step);
  }
  const auto* called = std::get_if<CallSyntax>(&suffix.what);
  const auto* filter = std::get_if<FilterCall>(&suffix.what);
  const auto* test = std::get_if<TestCall>(&suffix.what);
  CallArguments given = arguments(called ? *called : filter ? filter->arguments : test->arguments);
  runtime_.line = suffix.line;
  if (runtime_.failed()) return {};
  if (called && caller) given.named.emplace_back("caller", *caller);
  if (called) return call(value, std::move(given));
  if (filter) return invoke(runtime_, *filter->filter, value, given);
  return Value::boolean(truthy(invoke(runtime_, *test->test, value, given)) != test->negated);
}

CallArguments Interpreter::arguments(const CallSyntax& syntax) {
  CallArguments result;
  for (const ExpressionPtr& value : syntax.positional)
    result.positional.push_back(evaluate(*value));
  if (syntax.spread) {
    for (Value& value : iterate(runtime_, evaluate(*syntax.spread))) {
      result.positional.push_back(std::move(value));
    }
  }
  for (const auto& [name, value] : syntax.named) result.named.emplace_back(name, evaluate(*value));
  if (!syntax.named_spread) return result;
  const Value spread = evaluate(*syntax.named_spread);
  if (!spread.dict()) {
    runtime_.fail_type("argument after ** must be a dict");
    return result;
  }
  for (const auto& [name, value] : spread.dict()->entries) {
    if (name.text()) result.named.emplace_back(name.text()->bytes(), value);
  }
  return result;
}

Value Interpreter::call(const Value& callee, CallArguments arguments) {
  if (const auto* builtin = callee.as<const Builtin*>()) {
    return invoke(runtime_, **builtin, Value::none(), arguments);
  }
  if (const auto* bound = callee.as<std::shared_ptr<const BoundMethod>>()) {
    return invoke(runtime_, *(*bound)->method, (*bound)->self, arguments);
  }
  if (const auto* macro = callee.as<std::shared_ptr<const Macro>>()) {
    return call_macro(**macro, std::move(arguments));
  }
  if (const Undefined* missing = callee.as<Undefined>()) {
    return runtime_.fail_type(missing->what ? *missing->what : "an undefined value is called");
  }
  return runtime_.fail_type(in_quotes(type_name(callee)) + " object is not callable");
}

Value Interpreter::call_macro(const Macro& macro, CallArguments arguments) {
  const Frame frame(*this);
  if (!frame) return {};
  Text out;
  {
    const InScope scope(*this, macro.scope);
    if (bind(*macro.definition, arguments)) execute(macro.definition->body, out);
  }
  return runtime_.failed() ? Value() : runtime_.string(std::move(out));
}

// Gives the macro's parameters their values in the current scope.
bool Interpreter::bind(const MacroDefinition& macro, CallArguments& arguments) {
  const std::size_t count = macro.parameters.size();
  for (std::size_t i = 0; i < count; ++i) {
    const std::string& name = macro.parameters[i].name;
    const auto named = std::find_if(arguments.named.begin(), arguments.named.end(),
                                    [&](const auto& argument) { return argument.first == name; });
    if (i < arguments.positional.size()) {
      scope_->set(name, arguments.positional[i]);
      if (named != arguments.named.end()) {
        runtime_.fail_type("macro '" + macro.name + "' got two values for '" + name + "'");
      }
    } else if (named != arguments.named.end()) {
      scope_->set(name, named->second);
      arguments.named.erase(named);
    } else if (macro.parameters[i].otherwise) {
      scope_->set(name, evaluate(*macro.parameters[i].otherwise));
    } else {
      scope_->set(name, Value::undefined("parameter '" + name + "' was not provided"));
    }
  }
  const auto used = static_cast<std::ptrdiff_t>(std::min(count, arguments.positional.size()));
  arguments.positional.erase(arguments.positional.begin(), arguments.positional.begin() + used);
  return bind_rest(macro, arguments) && !runtime_.failed();
}

// `caller`, `kwargs` and `varargs`, for a macro that names them; others take no extra arguments.
bool Interpreter::bind_rest(const MacroDefinition& macro, CallArguments& arguments) {
  if (macro.takes_caller) {
    const auto named =
        std::find_if(arguments.named.begin(), arguments.named.end(),
                     [](const auto& argument) { return argument.first == "caller"; });
    const bool given = named != arguments.named.end();
    scope_->set("caller", given ? named->second : Value::undefined("No caller defined"));
    if (given) arguments.named.erase(named);
  }
  if (macro.takes_kwargs) {
    Dict rest;
    for (auto& [name, value] : arguments.named) rest.set(Value::string(name), std::move(value));
    scope_->set("kwargs", runtime_.dict(std::move(rest)));
  } else if (!arguments.named.empty()) {
    runtime_.fail_type("macro '" + macro.name + "' takes no keyword argument '" +
                       arguments.named.front().first + "'");
  }
  if (macro.takes_varargs) {
    scope_->set("varargs", runtime_.list(std::move(arguments.positional), SequenceKind::tuple));
  } else if (!arguments.positional.empty()) {
    runtime_.fail_type("macro '" + macro.name + "' takes not more than " +
                       std::to_string(macro.parameters.size()) + " arguments");
  }
  return !runtime_.failed();
}

}  // namespace troupe::model::jinja
