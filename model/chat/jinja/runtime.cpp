// Budgets, failures and the binding of arguments to builtins.
#include "model/chat/jinja/runtime.hpp"

#include <algorithm>

namespace troupe::model::jinja {
namespace {

struct Parameter {
  std::string_view name;
  bool required;
};

std::vector<Parameter> parameters_of(std::string_view declared) {
  std::vector<Parameter> result;
  while (!declared.empty()) {
    const std::size_t stop = std::min(declared.find(' '), declared.size());
    std::string_view word = declared.substr(0, stop);
    const bool required = word.back() == '!';
    if (required) word.remove_suffix(1);
    result.push_back({word, required});
    declared.remove_prefix(std::min(stop + 1, declared.size()));
  }
  return result;
}

void bind_named(Runtime& runtime, const Builtin& builtin, const std::vector<Parameter>& parameters,
                const CallArguments& arguments, std::vector<const Value*>& bound) {
  for (const auto& [name, value] : arguments.named) {
    const auto place = std::find_if(parameters.begin(), parameters.end(),
                                    [&, &key = name](const Parameter& p) { return p.name == key; });
    if (place == parameters.end()) {
      runtime.fail_type(in_quotes(builtin.name) + " takes no argument '" + name + "'");
      return;
    }
    bound[static_cast<std::size_t>(place - parameters.begin())] = &value;
  }
}

}  // namespace

std::string in_quotes(std::string_view text) { return std::string("'").append(text).append("'"); }

Runtime::~Runtime() {
  // Cuts cycles and long chains: one namespace after the other, while all of them are still held.
  for (const auto& ns : namespaces_) ns->attributes = {};
}

Value Runtime::make_namespace(Dict attributes) {
  if (!charge(1 + attributes.entries.size())) return {};
  auto ns = std::make_shared<Namespace>(Namespace{std::move(attributes)});
  namespaces_.push_back(ns);
  return Value(Value::Data(std::move(ns)));
}

Value Runtime::fail(Errc code, std::string_view what) {
  if (!failed()) {
    error_ = {code, "chat template, line " + std::to_string(line) + ": " + std::string(what)};
  }
  return {};
}

bool Runtime::charge(std::uint64_t steps) {
  if (failed()) return false;
  steps_ += std::min(steps, limits_.steps_max + 1);
  if (steps_ > limits_.steps_max) {
    fail(Errc::resource_exhausted,
         "the template needs more than " + std::to_string(limits_.steps_max) +
             " steps for this request; it loops too long or the messages are too large");
  }
  return !failed();
}

Value Runtime::list(std::vector<Value> items, SequenceKind kind, bool trusted) {
  if (!charge(1 + items.size())) return {};
  std::uint32_t depth = 1;
  for (const Value& item : items) depth = std::max(depth, depth_of(item) + 1);
  if (depth > limits_.nesting_max) {
    return fail(Errc::resource_exhausted, "lists and dicts are nested more than " +
                                              std::to_string(limits_.nesting_max) + " deep");
  }
  auto sequence = std::make_shared<Sequence>();
  sequence->kind = kind;
  sequence->items = std::move(items);
  sequence->depth = depth;
  return Value(Value::Data(std::move(sequence)), trusted);
}

Value Runtime::dict(Dict dict, bool trusted) {
  if (!charge(1 + dict.entries.size())) return {};
  if (dict.depth > limits_.nesting_max) {
    return fail(Errc::resource_exhausted, "lists and dicts are nested more than " +
                                              std::to_string(limits_.nesting_max) + " deep");
  }
  return Value(Value::Data(std::make_shared<const Dict>(std::move(dict))), trusted);
}

bool Runtime::allow_bytes(std::size_t bytes) {
  if (bytes > limits_.output_bytes_max) {
    fail(Errc::resource_exhausted,
         "a text grows beyond " + std::to_string(limits_.output_bytes_max) + " bytes");
  }
  return charge_bytes(bytes);
}

Value Runtime::string(Text text) {
  return allow_bytes(text.size()) ? Value::string(std::move(text)) : Value();
}

std::int64_t Arguments::integer(Runtime& runtime, std::size_t index, std::int64_t otherwise) const {
  const Value* value = bound_[index];
  if (!value || value->is_none()) return otherwise;
  if (!value->is_integral()) {
    runtime.fail_type("expected an integer argument, got '" + std::string(type_name(*value)) + "'");
    return otherwise;
  }
  return value->to_integer();
}

const Text* Arguments::text(Runtime& runtime, std::size_t index) const {
  const Value* value = bound_[index];
  if (!value || value->is_none()) return nullptr;
  if (!value->text()) {
    runtime.fail_type("expected a string argument, got '" + std::string(type_name(*value)) + "'");
  }
  return value->text();
}

Value invoke(Runtime& runtime, const Builtin& builtin, const Value& self,
             const CallArguments& arguments) {
  if (!runtime.charge()) return {};
  if (builtin.parameters == "*") return builtin.run(runtime, self, Arguments({}, arguments));
  const std::vector<Parameter> parameters = parameters_of(builtin.parameters);
  std::vector<const Value*> bound(parameters.size(), nullptr);
  if (arguments.positional.size() > bound.size()) {
    return runtime.fail_type(in_quotes(builtin.name) + " takes at most " +
                             std::to_string(bound.size()) + " arguments");
  }
  for (std::size_t i = 0; i < arguments.positional.size(); ++i) bound[i] = &arguments.positional[i];
  bind_named(runtime, builtin, parameters, arguments, bound);
  for (std::size_t i = 0; i < bound.size(); ++i) {
    if (parameters[i].required && !bound[i]) {
      runtime.fail_type(in_quotes(builtin.name) + " needs the argument '" +
                        std::string(parameters[i].name) + "'");
    }
  }
  if (runtime.failed()) return {};
  return builtin.run(runtime, self, Arguments(std::move(bound), arguments));
}

}  // namespace troupe::model::jinja
