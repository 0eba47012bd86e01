// Jinja's expression grammar, from the conditional down to the literal.
#include <charconv>

#include "model/chat/jinja/builtins.hpp"
#include "model/chat/jinja/parser_state.hpp"

namespace troupe::model::jinja {
namespace {

template <class Node>
ExpressionPtr make(int line, Node node) {
  auto expression = std::make_unique<Expression>();
  expression->line = line;
  expression->node = std::move(node);
  return expression;
}

struct OperatorName {
  std::string_view symbol;
  Operator op;
};
constexpr OperatorName kSums[] = {{"+", Operator::add}, {"-", Operator::subtract}};
constexpr OperatorName kConcat[] = {{"~", Operator::concat}};
constexpr OperatorName kProducts[] = {{"*", Operator::multiply},
                                      {"/", Operator::divide},
                                      {"//", Operator::floor_divide},
                                      {"%", Operator::modulo}};
constexpr OperatorName kPowers[] = {{"**", Operator::power}};
constexpr OperatorName kComparisons[] = {{"==", Operator::equal},  {"!=", Operator::not_equal},
                                         {"<", Operator::less},    {"<=", Operator::less_equal},
                                         {">", Operator::greater}, {">=", Operator::greater_equal}};
// From loosest to tightest binding.
constexpr std::span<const OperatorName> kLevels[] = {kSums, kConcat, kProducts, kPowers};
constexpr int kLevelCount = 4;

const OperatorName* operator_at(const ParserState& state, std::span<const OperatorName> names) {
  for (const OperatorName& name : names) {
    if (state.is_symbol(name.symbol)) return &name;
  }
  return nullptr;
}

}  // namespace

ExpressionPtr ExpressionParser::expression(bool with_conditional) {
  Nested level(state_);
  if (!level.ok()) return nullptr;
  if (!with_conditional) return disjunction();
  const int line = state_.line();
  ExpressionPtr result = disjunction();
  while (state_.skip_name("if")) {
    Conditional node;
    node.yes = std::move(result);
    node.condition = disjunction();
    if (state_.skip_name("else")) node.no = expression();
    result = make(line, std::move(node));
  }
  return result;
}

ExpressionPtr ExpressionParser::disjunction() {
  const int line = state_.line();
  ExpressionPtr first = conjunction();
  if (!state_.is_name("or")) return first;
  Logic node{false, {}};
  node.operands.push_back(std::move(first));
  while (state_.skip_name("or")) node.operands.push_back(conjunction());
  return make(line, std::move(node));
}

ExpressionPtr ExpressionParser::conjunction() {
  const int line = state_.line();
  ExpressionPtr first = negation();
  if (!state_.is_name("and")) return first;
  Logic node{true, {}};
  node.operands.push_back(std::move(first));
  while (state_.skip_name("and")) node.operands.push_back(negation());
  return make(line, std::move(node));
}

ExpressionPtr ExpressionParser::negation() {
  if (!state_.is_name("not")) return comparison();
  Nested level(state_);
  if (!level.ok()) return nullptr;
  const int line = state_.next().line;
  return make(line, Unary{Sign::logical_not, negation()});
}

ExpressionPtr ExpressionParser::comparison() {
  const int line = state_.line();
  Comparison node;
  node.first = arithmetic(0);
  for (;;) {
    const int at = state_.line();
    if (const OperatorName* name = operator_at(state_, kComparisons)) {
      state_.next();
      node.rest.push_back({name->op, at, arithmetic(0)});
    } else if (state_.skip_name("in")) {
      node.rest.push_back({Operator::in, at, arithmetic(0)});
    } else if (state_.is_name("not") && state_.peek(1).kind == TokenKind::name &&
               state_.peek(1).text == "in") {
      state_.next();
      state_.next();
      node.rest.push_back({Operator::not_in, at, arithmetic(0)});
    } else {
      break;
    }
  }
  if (node.rest.empty()) return std::move(node.first);
  return make(line, std::move(node));
}

ExpressionPtr ExpressionParser::arithmetic(int level) {
  if (level == kLevelCount) return unary(true);
  const int line = state_.line();
  Arithmetic node;
  node.first = arithmetic(level + 1);
  while (const OperatorName* name = operator_at(state_, kLevels[level])) {
    const int at = state_.next().line;
    node.rest.push_back({name->op, at, arithmetic(level + 1)});
  }
  if (node.rest.empty()) return std::move(node.first);
  return make(line, std::move(node));
}

ExpressionPtr ExpressionParser::unary(bool with_filters) {
  if (!state_.is_symbol("-") && !state_.is_symbol("+"))
    return with_postfix(primary(), with_filters);
  Nested level(state_);
  if (!level.ok()) return nullptr;
  const Token sign = state_.next();
  Unary node{sign.text == "-" ? Sign::minus : Sign::plus, unary(false)};
  return with_postfix(make(sign.line, std::move(node)), with_filters);
}

ExpressionPtr ExpressionParser::primary() {
  switch (state_.peek().kind) {
    case TokenKind::name: return name();
    case TokenKind::string: return string();
    case TokenKind::integer:
    case TokenKind::real: return number();
    default: break;
  }
  if (state_.is_symbol("(")) return parenthesised();
  if (state_.is_symbol("[")) return list();
  if (state_.is_symbol("{")) return dict();
  state_.fail_unexpected("an expression");
  return nullptr;
}

ExpressionPtr ExpressionParser::name() {
  const Token token = state_.next();
  const std::string& text = token.text;
  if (text == "true" || text == "True") return make(token.line, Literal{Value::boolean(true)});
  if (text == "false" || text == "False") return make(token.line, Literal{Value::boolean(false)});
  if (text == "none" || text == "None") return make(token.line, Literal{Value::none()});
  for (MacroDefinition* macro : state_.macros) {
    macro->takes_varargs |= text == "varargs";
    macro->takes_kwargs |= text == "kwargs";
    macro->takes_caller |= text == "caller";
  }
  return make(token.line, Name{text});
}

ExpressionPtr ExpressionParser::string() {
  const int line = state_.line();
  std::string text;
  while (state_.peek().kind == TokenKind::string) text += state_.next().text;
  return make(line, Literal{Value::string(text)});
}

ExpressionPtr ExpressionParser::number() {
  const Token token = state_.next();
  const char* end = token.text.data() + token.text.size();
  if (token.kind == TokenKind::real) {
    double value = 0;
    const auto done = std::from_chars(token.text.data(), end, value);
    if (done.ec != std::errc()) state_.fail_at(token.line, Errc::unsupported, "float out of range");
    return make(token.line, Literal{Value::real(value)});
  }
  const char kind = token.text.size() > 2 ? token.text[1] : '0';
  const int base = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 10;
  std::int64_t value = 0;
  const auto done = std::from_chars(token.text.data() + (base == 10 ? 0 : 2), end, value, base);
  if (done.ec != std::errc()) {
    state_.fail_at(token.line, Errc::unsupported, "an integer beyond 64 bits: " + token.text);
  }
  return make(token.line, Literal{Value::integer(value)});
}

bool ExpressionParser::at_tuple_end(std::string_view stop_name) const {
  const TokenKind kind = state_.peek().kind;
  if (kind == TokenKind::variable_end || kind == TokenKind::block_end || state_.is_symbol(")")) {
    return true;
  }
  return !stop_name.empty() && state_.is_name(stop_name);
}

ExpressionPtr ExpressionParser::tuple(bool with_conditional, std::string_view stop_name) {
  const int line = state_.line();
  Collection node{true, {}};
  bool comma = false;
  do {
    if (comma && at_tuple_end(stop_name)) break;
    node.items.push_back(expression(with_conditional));
    comma |= state_.is_symbol(",");
  } while (state_.skip_symbol(","));
  if (!comma) return std::move(node.items.front());
  return make(line, std::move(node));
}

ExpressionPtr ExpressionParser::parenthesised() {
  const int line = state_.next().line;
  if (state_.skip_symbol(")")) return make(line, Collection{true, {}});
  ExpressionPtr inner = tuple();
  state_.expect_symbol(")");
  return inner;
}

ExpressionPtr ExpressionParser::list() {
  const int line = state_.next().line;
  Collection node;
  while (!state_.failed() && !state_.is_symbol("]")) {
    node.items.push_back(expression());
    if (!state_.is_symbol("]")) state_.expect_symbol(",");
  }
  state_.expect_symbol("]");
  return make(line, std::move(node));
}

ExpressionPtr ExpressionParser::dict() {
  const int line = state_.next().line;
  DictDisplay node;
  while (!state_.failed() && !state_.is_symbol("}")) {
    ExpressionPtr key = expression();
    state_.expect_symbol(":");
    node.entries.emplace_back(std::move(key), expression());
    if (!state_.is_symbol("}")) state_.expect_symbol(",");
  }
  state_.expect_symbol("}");
  return make(line, std::move(node));
}

Target ExpressionParser::single_target(bool with_attribute) {
  Target result;
  const bool bracket = state_.skip_symbol("(");
  if (bracket) {
    result = target(with_attribute);
    state_.expect_symbol(")");
    return result;
  }
  result.name = state_.expect_name();
  for (const std::string_view reserved : {"true", "false", "none", "True", "False", "None"}) {
    if (result.name == reserved)
      state_.fail(Errc::malformed, "can't assign to '" + result.name + "'");
  }
  if (with_attribute && state_.skip_symbol(".")) result.attribute = state_.expect_name();
  return result;
}

Target ExpressionParser::target(bool with_attribute, std::string_view stop_name) {
  Nested level(state_);
  if (!level.ok()) return {};
  Target first = single_target(with_attribute);
  if (!state_.is_symbol(",")) return first;
  Target result;
  result.targets.push_back(std::move(first));
  while (state_.skip_symbol(",")) {
    if (state_.is_symbol("=") || at_tuple_end(stop_name)) break;
    result.targets.push_back(single_target(with_attribute));
  }
  return result;
}

}  // namespace troupe::model::jinja
