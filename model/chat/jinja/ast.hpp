// The syntax tree of a template: expressions and statements, each with its line.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "model/chat/jinja/runtime.hpp"
#include "model/chat/jinja/value.hpp"

namespace troupe::model::jinja {

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;
struct Statement;
using Body = std::vector<Statement>;

// Operators that associate are kept as one node with many operands, so that a long chain is a loop
// and not a deep tree: the depth of the tree is bounded by what the parser allows.

struct Literal {
  Value value;
};
struct Name {
  std::string name;
};
struct Collection {  // [a, b] and (a, b)
  bool is_tuple = false;
  std::vector<ExpressionPtr> items;
};
struct DictDisplay {
  std::vector<std::pair<ExpressionPtr, ExpressionPtr>> entries;
};

enum class Operator : std::uint8_t {
  add,
  subtract,
  multiply,
  divide,
  floor_divide,
  modulo,
  power,
  concat,
  equal,
  not_equal,
  less,
  less_equal,
  greater,
  greater_equal,
  in,
  not_in,
};
struct Operand {
  Operator op;
  int line;
  ExpressionPtr value;
};
/// a + b - c, a * b, a ** b, a ~ b: from left to right.
struct Arithmetic {
  ExpressionPtr first;
  std::vector<Operand> rest;
};
/// a < b <= c: true when each neighbouring pair holds.
struct Comparison {
  ExpressionPtr first;
  std::vector<Operand> rest;
};
/// a and b and c, a or b: gives the operand that decided.
struct Logic {
  bool is_and = false;
  std::vector<ExpressionPtr> operands;
};
enum class Sign : std::uint8_t { logical_not, minus, plus };
struct Unary {
  Sign sign = Sign::logical_not;
  ExpressionPtr operand;
};
struct Conditional {                 // yes if condition else no
  ExpressionPtr condition, yes, no;  // no may be null: undefined
};

struct CallSyntax {
  std::vector<ExpressionPtr> positional;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
  ExpressionPtr spread, named_spread;  // *args, **kwargs; may be null
};
struct Attribute {
  std::string name;
};
struct Subscript {
  ExpressionPtr index;
};
struct Slice {
  ExpressionPtr start, stop, step;  // each may be null
};
struct FilterCall {
  const Builtin* filter = nullptr;
  CallSyntax arguments;
};
struct TestCall {
  const Builtin* test = nullptr;
  bool negated = false;
  CallSyntax arguments;
};
struct Suffix {
  int line = 0;
  std::variant<Attribute, Subscript, Slice, CallSyntax, FilterCall, TestCall> what;
};
/// a.b[c](d)|e is f: from left to right.
struct Postfix {
  ExpressionPtr base;
  std::vector<Suffix> suffixes;
};

struct Expression {
  int line = 0;
  std::variant<Literal, Name, Collection, DictDisplay, Arithmetic, Comparison, Logic, Unary,
               Conditional, Postfix>
      node;
};

/// What a value is assigned to: a name, `namespace.attribute`, or several targets of a tuple.
struct Target {
  std::string name;
  std::string attribute;        // of the namespace `name`; empty for a plain name
  std::vector<Target> targets;  // when not empty, the value is unpacked
};

struct OutputData {
  Value text;
};
struct OutputExpression {
  ExpressionPtr value;
};
struct If {
  std::vector<std::pair<ExpressionPtr, Body>> branches;
  Body otherwise;
};
struct For {
  Target target;
  ExpressionPtr iterable, filter;  // filter may be null
  Body body, otherwise;
};
struct Set {
  Target target;
  ExpressionPtr value;
};
struct SetBlock {
  Target target;
  std::vector<Suffix> filters;
  Body body;
};
struct Parameter {
  std::string name;
  ExpressionPtr otherwise;  // null: undefined when not given
};
struct MacroDefinition {
  std::string name;
  std::vector<Parameter> parameters;
  Body body;
  bool takes_varargs = false, takes_kwargs = false, takes_caller = false;  // named in the body
};
struct DefineMacro {
  std::shared_ptr<const MacroDefinition> macro;
};
struct CallBlock {
  std::shared_ptr<const MacroDefinition> caller;
  ExpressionPtr call;  // a Postfix that ends in a call
};
struct FilterBlock {
  std::vector<Suffix> filters;
  Body body;
};
struct With {
  std::vector<std::pair<Target, ExpressionPtr>> assignments;
  Body body;
};
struct Scoped {  // {% generation %}: marks the assistant's text, renders as its body
  Body body;
};
struct Break {};
struct Continue {};

struct Statement {
  int line = 0;
  std::variant<OutputData, OutputExpression, If, For, Set, SetBlock, DefineMacro, CallBlock,
               FilterBlock, With, Scoped, Break, Continue>
      node;
};

}  // namespace troupe::model::jinja
