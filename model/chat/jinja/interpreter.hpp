// Runs a parsed template.
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "model/chat/jinja/ast.hpp"
#include "model/chat/jinja/runtime.hpp"

namespace troupe::model::jinja {

/// The variables of one block; lookups continue in the parent.
struct Scope {
  std::shared_ptr<Scope> parent;
  std::vector<std::pair<std::string, Value>> variables;

  void set(const std::string& name, Value value);
  const Value* find(const std::string& name) const;
};

/// A macro with the variables it can see.
struct Macro {
  std::shared_ptr<const MacroDefinition> definition;
  std::shared_ptr<Scope> scope;
};

/// One rendering. Failures end up in the runtime; what was rendered until then is to be dropped.
/// *Threading*: one thread; the syntax tree is only read and may be shared.
class Interpreter {
 public:
  Interpreter(Runtime& runtime, std::vector<std::pair<std::string, Value>> variables);
  ~Interpreter();
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  Text render(const Body& body);

 private:
  enum class Flow { onward, stop_loop, next_round };
  class Frame;    // counts depth
  class InScope;  // a scope for as long as it lives

  // Statements: interpreter_statements.cpp.
  Flow execute(const Body& body, Text& out);
  Flow execute(const Statement& statement, Text& out);
  Flow run(const OutputData& node, Text& out);
  Flow run(const OutputExpression& node, Text& out);
  Flow run(const If& node, Text& out);
  Flow run(const For& node, Text& out);
  Flow run(const Set& node, Text& out);
  Flow run(const SetBlock& node, Text& out);
  Flow run(const DefineMacro& node, Text& out);
  Flow run(const CallBlock& node, Text& out);
  Flow run(const FilterBlock& node, Text& out);
  Flow run(const With& node, Text& out);
  Flow run(const Scoped& node, Text& out);
  Flow run(const Break&, Text&) { return Flow::stop_loop; }
  Flow run(const Continue&, Text&) { return Flow::next_round; }
  void write(const Text& text, Text& out);
  void assign(const Target& target, const Value& value);
  std::vector<Value> chosen(const For& node);
  Flow rounds(const For& node, const std::shared_ptr<Loop>& loop, Text& out);
  Value make_macro(const std::shared_ptr<const MacroDefinition>& definition);
  Text captured(const Body& body);

  // Expressions: interpreter_expressions.cpp.
  Value evaluate(const Expression& expression);
  Value evaluate_optional(const ExpressionPtr& expression);  // None when absent
  Value value_of(const Literal& node);
  Value value_of(const Name& node);
  Value value_of(const Collection& node);
  Value value_of(const DictDisplay& node);
  Value value_of(const Arithmetic& node);
  Value value_of(const Comparison& node);
  Value value_of(const Logic& node);
  Value value_of(const Unary& node);
  Value value_of(const Conditional& node);
  Value value_of(const Postfix& node);
  Value apply(const Value& value, const Suffix& suffix, const Value* caller);
  CallArguments arguments(const CallSyntax& syntax);
  Value call(const Value& callee, CallArguments arguments);
  Value call_macro(const Macro& macro, CallArguments arguments);
  bool bind(const MacroDefinition& macro, CallArguments& arguments);
  bool bind_rest(const MacroDefinition& macro, CallArguments& arguments);

  Runtime& runtime_;
  std::shared_ptr<Scope> scope_;
  std::vector<std::shared_ptr<Scope>>
      captured_;  // by macros; emptied at the end, they may be cyclic
  std::uint32_t depth_ = 0;
};

/// Counts evaluation frames; false when there are too many.
class Interpreter::Frame {
 public:
  explicit Frame(Interpreter& interpreter);
  ~Frame() { --interpreter_.depth_; }
  Frame(const Frame&) = delete;
  Frame& operator=(const Frame&) = delete;
  explicit operator bool() const { return !interpreter_.runtime_.failed(); }

 private:
  Interpreter& interpreter_;
};

class Interpreter::InScope {
 public:
  InScope(Interpreter& interpreter, std::shared_ptr<Scope> parent);
  ~InScope() { interpreter_.scope_ = std::move(outer_); }
  InScope(const InScope&) = delete;
  InScope& operator=(const InScope&) = delete;

 private:
  Interpreter& interpreter_;
  std::shared_ptr<Scope> outer_;
};

}  // namespace troupe::model::jinja
