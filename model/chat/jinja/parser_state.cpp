// Reading tokens one after the other, and the parser's first error.
#include "model/chat/jinja/parser_state.hpp"

#include <algorithm>

namespace troupe::model::jinja {
namespace {

std::string described(const Token& token) {
  switch (token.kind) {
    case TokenKind::data: return "text";
    case TokenKind::variable_begin: return "'{{'";
    case TokenKind::variable_end: return "'}}'";
    case TokenKind::block_begin: return "'{%'";
    case TokenKind::block_end: return "'%}'";
    case TokenKind::string: return "a string";
    case TokenKind::end: return "the end of the template";
    default: return in_quotes(token.text);
  }
}

}  // namespace

const Token& ParserState::peek(std::size_t ahead) const {
  return failed() ? tokens_.back() : tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
}

Token ParserState::next() {
  if (failed() || at_ + 1 >= tokens_.size()) return tokens_.back();
  return std::move(tokens_[at_++]);
}

bool ParserState::is_symbol(std::string_view symbol) const {
  return peek().kind == TokenKind::symbol && peek().text == symbol;
}

bool ParserState::is_name(std::string_view name) const {
  return peek().kind == TokenKind::name && peek().text == name;
}

bool ParserState::is_name(std::initializer_list<std::string_view> names) const {
  return std::any_of(names.begin(), names.end(), [this](std::string_view n) { return is_name(n); });
}

bool ParserState::skip_symbol(std::string_view symbol) {
  if (!is_symbol(symbol)) return false;
  next();
  return true;
}

bool ParserState::skip_name(std::string_view name) {
  if (!is_name(name)) return false;
  next();
  return true;
}

void ParserState::expect_symbol(std::string_view symbol) {
  if (!skip_symbol(symbol)) fail_unexpected(in_quotes(symbol));
}

void ParserState::expect(TokenKind kind, std::string_view what) {
  if (peek().kind == kind) {
    next();
  } else {
    fail_unexpected(what);
  }
}

std::string ParserState::expect_name() {
  if (peek().kind == TokenKind::name) return next().text;
  fail_unexpected("a name");
  return {};
}

void ParserState::fail_at(int line, Errc code, std::string_view what) {
  if (!failed()) error = template_error(code, line, what).error;
}

void ParserState::fail_unexpected(std::string_view wanted) {
  fail(Errc::malformed, "unexpected " + described(peek()) + ", expected " + std::string(wanted));
}

Nested::Nested(ParserState& state) : state_(state) {
  if (++state_.depth > ParserState::kDepthMax) {
    state_.fail(Errc::resource_exhausted, "expressions or blocks are nested more than " +
                                              std::to_string(ParserState::kDepthMax) + " deep");
  }
}

}  // namespace troupe::model::jinja
