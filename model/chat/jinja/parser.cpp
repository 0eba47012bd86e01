// Jinja's statements.
#include "model/chat/jinja/parser.hpp"

#include <algorithm>

#include "model/chat/jinja/parser_state.hpp"

namespace troupe::model::jinja {
namespace {

class StatementParser {
 public:
  explicit StatementParser(ParserState& state) : state_(state), expressions_(state) {}

  /// Statements up to a block that begins with one of `stops` (left to be read), or to the end.
  Body body(std::initializer_list<std::string_view> stops) {
    Body result;
    Nested level(state_);
    while (!state_.failed() && state_.peek().kind != TokenKind::end) {
      const Token token = state_.next();
      if (token.kind == TokenKind::data) {
        result.push_back({token.line, OutputData{Value::string(token.text)}});
      } else if (token.kind == TokenKind::variable_begin) {
        OutputExpression output{expressions_.tuple()};
        state_.expect(TokenKind::variable_end, "'}}'");
        result.push_back({token.line, std::move(output)});
      } else {
        if (state_.is_name(stops)) return result;
        result.push_back(statement());
        state_.expect(TokenKind::block_end, "'%}'");
      }
    }
    if (stops.size() > 0 && !state_.failed()) {
      state_.fail(Errc::malformed,
                  "the template ends where '" + std::string(*(stops.end() - 1)) + "' is expected");
    }
    return result;
  }

 private:
  Statement statement() {
    const int line = state_.line();
    const std::string word = state_.expect_name();
    if (word == "if") return if_statement(line);
    if (word == "for") return for_statement(line);
    if (word == "set") return set_statement(line);
    if (word == "macro") return macro_statement(line);
    if (word == "call") return call_statement(line);
    if (word == "filter") return filter_statement(line);
    if (word == "with") return with_statement(line);
    if (word == "generation") return {line, Scoped{block({"endgeneration"})}};
    if (word == "break" || word == "continue") return jump(line, word == "break");
    if (word == "print") return {line, OutputExpression{expressions_.tuple()}};
    for (const std::string_view known :
         {"block", "extends", "include", "import", "from", "do", "trans", "autoescape", "debug"}) {
      if (word == known) {
        state_.fail_at(line, Errc::unsupported, "the statement '" + word + "' is not supported");
      }
    }
    state_.fail_at(line, Errc::malformed, "unknown statement '" + word + "'");
    return {};
  }

  /// The rest of the tag, the statements, and the word of the tag that ends them.
  Body block(std::initializer_list<std::string_view> stops) {
    state_.skip_symbol(":");
    state_.expect(TokenKind::block_end, "'%}'");
    Body result = body(stops);
    last_stop_ = state_.failed() ? std::string() : state_.next().text;
    return result;
  }

  Statement if_statement(int line) {
    If node;
    do {
      ExpressionPtr condition = expressions_.tuple(false);
      Body branch = block({"elif", "else", "endif"});
      node.branches.emplace_back(std::move(condition), std::move(branch));
    } while (last_stop_ == "elif");
    if (last_stop_ == "else") node.otherwise = block({"endif"});
    return {line, std::move(node)};
  }

  Statement for_statement(int line) {
    For node;
    node.target = expressions_.target(false, "in");
    if (!state_.skip_name("in")) state_.fail_unexpected("'in'");
    node.iterable = expressions_.tuple(false, "recursive");
    if (state_.skip_name("if")) node.filter = expressions_.expression();
    if (state_.is_name("recursive")) {
      state_.fail(Errc::unsupported, "recursive for loops are not supported");
    }
    ++state_.loops;
    node.body = block({"else", "endfor"});
    --state_.loops;
    if (last_stop_ == "else") node.otherwise = block({"endfor"});
    return {line, std::move(node)};
  }

  Statement set_statement(int line) {
    Target target = expressions_.target(true);
    if (state_.skip_symbol("=")) {
      return {line, Set{std::move(target), expressions_.tuple()}};
    }
    SetBlock node{std::move(target), expressions_.filters(), {}};
    node.body = block({"endset"});
    return {line, std::move(node)};
  }

  void parameters(MacroDefinition& macro) {
    state_.expect_symbol("(");
    bool defaults = false;
    while (!state_.failed() && !state_.is_symbol(")")) {
      Parameter parameter{state_.expect_name(), nullptr};
      if (state_.skip_symbol("=")) {
        parameter.otherwise = expressions_.expression();
      } else if (defaults) {
        state_.fail(Errc::malformed, "an argument without default follows one with default");
      }
      defaults = parameter.otherwise != nullptr;
      macro.parameters.push_back(std::move(parameter));
      if (!state_.is_symbol(")")) state_.expect_symbol(",");
    }
    state_.expect_symbol(")");
  }

  std::shared_ptr<const MacroDefinition> macro_body(std::shared_ptr<MacroDefinition> macro,
                                                    std::string_view stop) {
    const int loops = std::exchange(state_.loops, 0);
    state_.macros.push_back(macro.get());
    macro->body = block({stop});
    state_.macros.pop_back();
    state_.loops = loops;
    return macro;
  }

  Statement macro_statement(int line) {
    auto macro = std::make_shared<MacroDefinition>();
    macro->name = state_.expect_name();
    parameters(*macro);
    return {line, DefineMacro{macro_body(std::move(macro), "endmacro")}};
  }

  Statement call_statement(int line) {
    CallBlock node;
    auto caller = std::make_shared<MacroDefinition>();
    caller->name = "caller";
    if (state_.is_symbol("(")) parameters(*caller);
    node.call = expressions_.expression();
    const Postfix* postfix = node.call ? std::get_if<Postfix>(&node.call->node) : nullptr;
    if (!postfix || !std::holds_alternative<CallSyntax>(postfix->suffixes.back().what)) {
      state_.fail(Errc::malformed, "'call' needs a call");
    }
    node.caller = macro_body(std::move(caller), "endcall");
    return {line, std::move(node)};
  }

  Statement filter_statement(int line) {
    FilterBlock node;
    node.filters.push_back(expressions_.filter());
    for (Suffix& more : expressions_.filters()) node.filters.push_back(std::move(more));
    node.body = block({"endfilter"});
    return {line, std::move(node)};
  }

  Statement with_statement(int line) {
    With node;
    while (!state_.failed() && state_.peek().kind != TokenKind::block_end) {
      if (!node.assignments.empty()) state_.expect_symbol(",");
      Target target{state_.expect_name(), {}, {}};
      state_.expect_symbol("=");
      node.assignments.emplace_back(std::move(target), expressions_.expression());
    }
    node.body = block({"endwith"});
    return {line, std::move(node)};
  }

  Statement jump(int line, bool is_break) {
    if (state_.loops == 0) {
      state_.fail_at(line, Errc::malformed, "'break' or 'continue' outside of a loop");
    }
    if (is_break) return {line, Break{}};
    return {line, Continue{}};
  }

  ParserState& state_;
  ExpressionParser expressions_;
  std::string last_stop_;
};

}  // namespace

Expected<Body> parse_template(std::string_view source) {
  auto tokens = tokenize(source);
  if (!tokens) return unexpected(tokens.error());
  ParserState state(std::move(*tokens));
  Body result = StatementParser(state).body({});
  if (state.failed()) return unexpected(std::move(state.error));
  return result;
}

}  // namespace troupe::model::jinja
