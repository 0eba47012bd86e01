// What the statements of a template do.
#include "model/chat/jinja/builtins.hpp"
#include "model/chat/jinja/interpreter.hpp"
#include "model/chat/jinja/print.hpp"

namespace troupe::model::jinja {

void Scope::set(const std::string& name, Value value) {
  for (auto& [present, current] : variables) {
    if (present == name) {
      current = std::move(value);
      return;
    }
  }
  variables.emplace_back(name, std::move(value));
}

const Value* Scope::find(const std::string& name) const {
  for (const Scope* scope = this; scope; scope = scope->parent.get()) {
    for (const auto& [present, value] : scope->variables) {
      if (present == name) return &value;
    }
  }
  return nullptr;
}

Interpreter::Frame::Frame(Interpreter& interpreter) : interpreter_(interpreter) {
  Runtime& runtime = interpreter.runtime_;
  if (++interpreter.depth_ > runtime.limits().depth_max) {
    runtime.fail(Errc::resource_exhausted, "macros and expressions are nested too deep");
  }
  runtime.charge();
}

Interpreter::InScope::InScope(Interpreter& interpreter, std::shared_ptr<Scope> parent)
    : interpreter_(interpreter), outer_(interpreter.scope_) {
  interpreter.scope_ = std::make_shared<Scope>(Scope{std::move(parent), {}});
}

Interpreter::Interpreter(Runtime& runtime, std::vector<std::pair<std::string, Value>> variables)
    : runtime_(runtime), scope_(std::make_shared<Scope>(Scope{nullptr, std::move(variables)})) {}

Interpreter::~Interpreter() {
  for (const auto& scope : captured_) scope->variables.clear();
}

Text Interpreter::render(const Body& body) {
  Text out;
  execute(body, out);
  return out;
}

Interpreter::Flow Interpreter::execute(const Body& body, Text& out) {
  for (const Statement& statement : body) {
    if (const Flow flow = execute(statement, out); flow != Flow::onward) return flow;
    if (runtime_.failed()) break;
  }
  return Flow::onward;
}

Interpreter::Flow Interpreter::execute(const Statement& statement, Text& out) {
  const Frame frame(*this);
  if (!frame) return Flow::onward;
  runtime_.line = statement.line;
  return std::visit([&](const auto& node) { return run(node, out); }, statement.node);
}

void Interpreter::write(const Text& text, Text& out) {
  if (out.size() + text.size() > runtime_.limits().output_bytes_max) {
    runtime_.fail(
        Errc::resource_exhausted,
        "the prompt grows beyond " + std::to_string(runtime_.limits().output_bytes_max) + " bytes");
  }
  if (runtime_.charge_bytes(text.size())) out.append(text);
}

Interpreter::Flow Interpreter::run(const OutputData& node, Text& out) {
  write(*node.text.text(), out);
  return Flow::onward;
}

Interpreter::Flow Interpreter::run(const OutputExpression& node, Text& out) {
  const Value value = evaluate(*node.value);
  if (const Text* text = value.text()) {
    write(*text, out);
  } else if (!runtime_.failed()) {
    write(to_text(runtime_, value), out);
  }
  return Flow::onward;
}

Interpreter::Flow Interpreter::run(const If& node, Text& out) {
  for (const auto& [condition, body] : node.branches) {
    const bool taken = truthy(evaluate(*condition));
    if (runtime_.failed()) return Flow::onward;
    if (taken) return execute(body, out);
  }
  return execute(node.otherwise, out);
}

// The items of the loop, those its filter lets pass.
std::vector<Value> Interpreter::chosen(const For& node) {
  std::vector<Value> items = iterate(runtime_, evaluate(*node.iterable));
  if (!node.filter) return items;
  std::vector<Value> passed;
  for (Value& item : items) {
    const InScope scope(*this, scope_);
    assign(node.target, item);
    if (truthy(evaluate(*node.filter))) passed.push_back(std::move(item));
    if (runtime_.failed()) break;
  }
  return passed;
}

Interpreter::Flow Interpreter::run(const For& node, Text& out) {
  auto loop = std::make_shared<Loop>();
  loop->items = chosen(node);
  if (runtime_.failed()) return Flow::onward;
  if (loop->items.empty()) return execute(node.otherwise, out);
  const Flow flow = rounds(node, loop, out);
  // `loop` may have been kept in a namespace: it must not keep a chain of other loops alive.
  loop->items.clear();
  loop->changed = {};
  return flow;
}

Interpreter::Flow Interpreter::rounds(const For& node, const std::shared_ptr<Loop>& loop,
                                      Text& out) {
  for (loop->index = 0; loop->index < loop->items.size(); ++loop->index) {
    if (!runtime_.charge()) break;
    const InScope scope(*this, scope_);
    scope_->set("loop", Value(Value::Data(loop)));
    assign(node.target, loop->items[loop->index]);
    if (execute(node.body, out) == Flow::stop_loop) break;
  }
  return Flow::onward;
}

void Interpreter::assign(const Target& target, const Value& value) {
  if (!target.targets.empty()) {
    const std::vector<Value> parts = iterate(runtime_, value);
    if (parts.size() != target.targets.size()) {
      runtime_.fail_type("cannot unpack " + std::to_string(parts.size()) + " values into " +
                         std::to_string(target.targets.size()) + " names");
      return;
    }
    for (std::size_t i = 0; i < parts.size(); ++i) assign(target.targets[i], parts[i]);
  } else if (target.attribute.empty()) {
    scope_->set(target.name, value);
  } else {
    const Value* holder = scope_->find(target.name);
    if (holder && holder->name_space()) {
      holder->name_space()->attributes.set(Value::string(target.attribute), value);
    } else {
      runtime_.fail_type("cannot assign attribute on non-namespace object '" + target.name + "'");
    }
  }
}

Interpreter::Flow Interpreter::run(const Set& node, Text&) {
  const Value value = evaluate(*node.value);
  if (!runtime_.failed()) assign(node.target, value);
  return Flow::onward;
}

Text Interpreter::captured(const Body& body) {
  const InScope scope(*this, scope_);
  Text text;
  execute(body, text);
  return text;
}

Interpreter::Flow Interpreter::run(const SetBlock& node, Text&) {
  Value value = runtime_.string(captured(node.body));
  for (const Suffix& filter : node.filters) value = apply(value, filter, nullptr);
  if (!runtime_.failed()) assign(node.target, value);
  return Flow::onward;
}

Value Interpreter::make_macro(const std::shared_ptr<const MacroDefinition>& definition) {
  captured_.push_back(scope_);
  return Value(Value::Data(std::make_shared<const Macro>(Macro{definition, scope_})));
}

Interpreter::Flow Interpreter::run(const DefineMacro& node, Text&) {
  scope_->set(node.macro->name, make_macro(node.macro));
  return Flow::onward;
}

Interpreter::Flow Interpreter::run(const CallBlock& node, Text& out) {
  const Postfix& postfix = std::get<Postfix>(node.call->node);
  const Value caller = make_macro(node.caller);
  Value value = evaluate(*postfix.base);
  for (const Suffix& suffix : postfix.suffixes) {
    value = apply(value, suffix, &suffix == &postfix.suffixes.back() ? &caller : nullptr);
  }
  if (!runtime_.failed()) write(to_text(runtime_, value), out);
  return Flow::onward;
}

Interpreter::Flow Interpreter::run(const FilterBlock& node, Text& out) {
  Value value = runtime_.string(captured(node.body));
  for (const Suffix& filter : node.filters) value = apply(value, filter, nullptr);
  if (!runtime_.failed()) write(to_text(runtime_, value), out);
  return Flow::onward;
}

Interpreter::Flow Interpreter::run(const With& node, Text& out) {
  std::vector<Value> values;
  for (const auto& [target, expression] : node.assignments) values.push_back(evaluate(*expression));
  const InScope scope(*this, scope_);
  for (std::size_t i = 0; i < values.size(); ++i) assign(node.assignments[i].first, values[i]);
  return execute(node.body, out);
}

Interpreter::Flow Interpreter::run(const Scoped& node, Text& out) {
  const InScope scope(*this, scope_);
  return execute(node.body, out);
}

}  // namespace troupe::model::jinja
