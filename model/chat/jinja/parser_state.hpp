// The parser's position in the tokens and its first error; its two halves share it.
#pragma once
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "model/chat/jinja/ast.hpp"
#include "model/chat/jinja/lexer.hpp"

namespace troupe::model::jinja {

/// After a failure `peek()` is the end of the template, so that every loop of the parser stops.
class ParserState {
 public:
  explicit ParserState(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& peek(std::size_t ahead = 0) const;
  Token next();
  bool is_symbol(std::string_view symbol) const;
  bool is_name(std::string_view name) const;
  bool is_name(std::initializer_list<std::string_view> names) const;
  bool skip_symbol(std::string_view symbol);
  bool skip_name(std::string_view name);
  void expect_symbol(std::string_view symbol);
  void expect(TokenKind kind, std::string_view what);
  std::string expect_name();

  int line() const { return peek().line; }
  bool failed() const { return error.code != Errc::ok; }
  void fail(Errc code, std::string_view what) { fail_at(line(), code, what); }
  void fail_at(int line, Errc code, std::string_view what);
  /// "unexpected X", the end of the template included.
  void fail_unexpected(std::string_view wanted);

  Error error{Errc::ok, {}};
  int depth = 0;                         // of nested expressions and blocks
  int loops = 0;                         // around the statement, inside the same macro
  std::vector<MacroDefinition*> macros;  // being parsed
  static constexpr int kDepthMax = 100;

 private:
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
};

/// Counts a level of nesting for as long as it lives; `ok()` is false when there are too many.
class Nested {
 public:
  explicit Nested(ParserState& state);
  ~Nested() { --state_.depth; }
  Nested(const Nested&) = delete;
  Nested& operator=(const Nested&) = delete;
  bool ok() const { return !state_.failed(); }

 private:
  ParserState& state_;
};

/// Expressions, by the names of Jinja's grammar. They never give null, except after a failure.
class ExpressionParser {
 public:
  explicit ExpressionParser(ParserState& state) : state_(state) {}

  ExpressionPtr expression(bool with_conditional = true);
  /// One expression, or a tuple of several without brackets.
  ExpressionPtr tuple(bool with_conditional = true, std::string_view stop_name = {});
  /// `|filter(...)` repeated, without anything before it.
  std::vector<Suffix> filters();
  /// One filter whose name is next: {% filter NAME %}.
  Suffix filter();
  Target target(bool with_attribute, std::string_view stop_name = {});

 private:
  ExpressionPtr disjunction();
  ExpressionPtr conjunction();
  ExpressionPtr negation();
  ExpressionPtr comparison();
  ExpressionPtr arithmetic(int level);
  ExpressionPtr unary(bool with_filters);
  ExpressionPtr primary();
  ExpressionPtr name();
  ExpressionPtr string();
  ExpressionPtr number();
  ExpressionPtr parenthesised();
  ExpressionPtr list();
  ExpressionPtr dict();
  ExpressionPtr with_postfix(ExpressionPtr base, bool with_filters);
  bool suffix(std::vector<Suffix>& suffixes, bool filters_too);
  Suffix attribute();
  Suffix subscript();
  Suffix test();
  CallSyntax call();
  void argument(CallSyntax& call);
  bool at_tuple_end(std::string_view stop_name) const;
  Target single_target(bool with_attribute);

  ParserState& state_;
};

}  // namespace troupe::model::jinja
