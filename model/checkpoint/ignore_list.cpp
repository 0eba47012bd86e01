// Matches module names with PCRE2, bounded per match.
#define PCRE2_CODE_UNIT_WIDTH 8
#include "model/checkpoint/ignore_list.hpp"

#include <pcre2.h>

#include <vector>

namespace troupe::model {
namespace {

constexpr std::string_view kExpression = "re:";
constexpr std::uint32_t kStepsMax = 100'000;  // names have some 60 bytes

struct FreeExpression {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
using Expression = std::unique_ptr<pcre2_code, FreeExpression>;

Expected<Expression> compile_expression(std::string_view entry) {
  const std::string_view text = entry.substr(kExpression.size());
  int error = 0;
  PCRE2_SIZE place = 0;
  Expression compiled(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                                    PCRE2_ANCHORED, &error, &place, nullptr));
  if (compiled != nullptr) return compiled;
  PCRE2_UCHAR why[256] = {};
  pcre2_get_error_message(error, why, sizeof why);
  return unexpected(Errc::malformed,
                    "quantization_config.ignore: \"" + std::string(entry) +
                        "\" is no regular expression: " + reinterpret_cast<const char*>(why) +
                        " at character " + std::to_string(place));
}

bool matches(const pcre2_code* expression, std::string_view name) {
  const std::unique_ptr<pcre2_match_data, void (*)(pcre2_match_data*)> data(
      pcre2_match_data_create(1, nullptr), pcre2_match_data_free);
  const std::unique_ptr<pcre2_match_context, void (*)(pcre2_match_context*)> context(
      pcre2_match_context_create(nullptr), pcre2_match_context_free);
  pcre2_set_match_limit(context.get(), kStepsMax);
  return pcre2_match(expression, reinterpret_cast<PCRE2_SPTR>(name.data()), name.size(), 0, 0,
                     data.get(), context.get()) >= 0;
}

}  // namespace

struct IgnoreList::Entries {
  struct Entry {
    std::string text;
    Expression expression;  // null: `text` is a name
  };
  std::vector<Entry> all;
};

IgnoreList::IgnoreList() : entries_(std::make_unique<Entries>()) {}
IgnoreList::IgnoreList(IgnoreList&&) noexcept = default;
IgnoreList& IgnoreList::operator=(IgnoreList&&) noexcept = default;
IgnoreList::~IgnoreList() = default;

Expected<IgnoreList> IgnoreList::compile(std::span<const std::string> entries) {
  IgnoreList list;
  for (const std::string& text : entries) {
    Expected<Expression> expression = Expression();
    if (text.starts_with(kExpression)) expression = compile_expression(text);
    if (!expression) return unexpected(expression.error());
    list.entries_->all.push_back({text, *std::move(expression)});
  }
  return list;
}

std::string_view IgnoreList::covering(std::string_view module) const {
  for (const auto& [text, expression] : entries_->all)
    if (expression == nullptr ? text == module : matches(expression.get(), module)) return text;
  return {};
}

}  // namespace troupe::model
