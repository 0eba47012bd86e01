// What follows a primary expression: attributes, subscripts, calls, filters and tests.
#include "model/chat/jinja/builtins.hpp"
#include "model/chat/jinja/parser_state.hpp"

namespace troupe::model::jinja {
namespace {

// Jinja reads the operand of a test without brackets when one of these follows.
bool begins_operand(const ParserState& state) {
  switch (state.peek().kind) {
    case TokenKind::name: return !state.is_name({"else", "or", "and"});
    case TokenKind::string:
    case TokenKind::integer:
    case TokenKind::real: return true;
    default: return state.is_symbol("[") || state.is_symbol("{");
  }
}

std::string dotted_name(ParserState& state) {
  std::string name = state.expect_name();
  while (state.skip_symbol(".")) name.append(".").append(state.expect_name());
  return name;
}

}  // namespace

ExpressionPtr ExpressionParser::with_postfix(ExpressionPtr base, bool with_filters) {
  Postfix node;
  const int line = state_.line();
  // Filters end the run of attributes and subscripts: a|b.c is not (a|b).c.
  while (suffix(node.suffixes, false)) {
  }
  while (with_filters && suffix(node.suffixes, true)) {
  }
  if (node.suffixes.empty()) return base;
  node.base = std::move(base);
  auto result = std::make_unique<Expression>();
  result->line = line;
  result->node = std::move(node);
  return result;
}

bool ExpressionParser::suffix(std::vector<Suffix>& suffixes, bool filters_too) {
  const int line = state_.line();
  if (state_.is_symbol("(")) {
    suffixes.push_back({line, call()});
  } else if (!filters_too && state_.is_symbol(".")) {
    suffixes.push_back(attribute());
  } else if (!filters_too && state_.is_symbol("[")) {
    suffixes.push_back(subscript());
  } else if (filters_too && state_.skip_symbol("|")) {
    suffixes.push_back(filter());
  } else if (filters_too && state_.is_name("is")) {
    suffixes.push_back(test());
  } else {
    return false;
  }
  return !state_.failed();
}

Suffix ExpressionParser::attribute() {
  const int line = state_.next().line;
  const Token token = state_.next();
  if (token.kind == TokenKind::name) return {line, Attribute{token.text}};
  if (token.kind != TokenKind::integer) {
    state_.fail_at(token.line, Errc::malformed, "expected a name or number after '.'");
    return {};
  }
  auto index = std::make_unique<Expression>();
  index->line = token.line;
  index->node = Literal{Value::integer(std::atoll(token.text.c_str()))};
  return {line, Subscript{std::move(index)}};
}

Suffix ExpressionParser::subscript() {
  const int line = state_.next().line;
  ExpressionPtr start;
  if (!state_.is_symbol(":")) start = tuple();
  if (!state_.is_symbol(":")) {
    state_.expect_symbol("]");
    return {line, Subscript{std::move(start)}};
  }
  state_.next();
  Slice slice;
  slice.start = std::move(start);
  if (!state_.is_symbol(":") && !state_.is_symbol("]")) slice.stop = expression();
  if (state_.skip_symbol(":") && !state_.is_symbol("]")) slice.step = expression();
  state_.expect_symbol("]");
  return {line, std::move(slice)};
}

std::vector<Suffix> ExpressionParser::filters() {
  std::vector<Suffix> result;
  while (state_.skip_symbol("|")) result.push_back(filter());
  return result;
}

Suffix ExpressionParser::filter() {
  const int line = state_.line();
  const std::string name = dotted_name(state_);
  FilterCall node;
  node.filter = find_filter(name);
  if (!node.filter && !state_.failed()) {
    state_.fail_at(line, Errc::unsupported, "the filter '" + name + "' is not supported");
  }
  if (state_.is_symbol("(")) node.arguments = call();
  return {line, std::move(node)};
}

Suffix ExpressionParser::test() {
  const int line = state_.next().line;
  TestCall node;
  node.negated = state_.skip_name("not");
  const std::string name = dotted_name(state_);
  node.test = find_test(name);
  if (!node.test && !state_.failed()) {
    state_.fail_at(line, Errc::unsupported, "the test '" + name + "' is not supported");
  }
  if (state_.is_symbol("(")) {
    node.arguments = call();
  } else if (begins_operand(state_)) {
    if (state_.is_name("is")) state_.fail(Errc::malformed, "tests with 'is' cannot be chained");
    node.arguments.positional.push_back(with_postfix(primary(), false));
  }
  return {line, std::move(node)};
}

CallSyntax ExpressionParser::call() {
  CallSyntax result;
  Nested level(state_);
  if (!level.ok()) return result;
  state_.expect_symbol("(");
  while (!state_.failed() && !state_.is_symbol(")")) {
    argument(result);
    if (!state_.is_symbol(")")) state_.expect_symbol(",");
  }
  state_.expect_symbol(")");
  return result;
}

void ExpressionParser::argument(CallSyntax& call) {
  bool ordered = !call.named_spread;
  if (state_.skip_symbol("*")) {
    ordered = ordered && !call.spread;
    call.spread = expression();
  } else if (state_.skip_symbol("**")) {
    call.named_spread = expression();
  } else if (state_.peek().kind == TokenKind::name && state_.peek(1).kind == TokenKind::symbol &&
             state_.peek(1).text == "=") {
    std::string name = state_.next().text;
    state_.next();
    for (const auto& [present, value] : call.named) ordered = ordered && present != name;
    call.named.emplace_back(std::move(name), expression());
  } else {
    ordered = ordered && !call.spread && call.named.empty();
    call.positional.push_back(expression());
  }
  if (!ordered) state_.fail(Errc::malformed, "invalid order of arguments in a call");
}

}  // namespace troupe::model::jinja
