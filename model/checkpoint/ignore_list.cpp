// Matches module names with PCRE2, bounded per match.
#define PCRE2_CODE_UNIT_WIDTH 8
#include "model/checkpoint/ignore_list.hpp"

#include <pcre2.h>

#include <vector>

#include "core/check.hpp"

namespace troupe::model {
namespace {

constexpr std::string_view kExpression = "re:";
constexpr std::size_t kEntriesMax = 1024;     // published models have some ten
constexpr std::uint32_t kStepsMax = 100'000;  // names have some 60 bytes

struct FreeExpression {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
using Expression = std::unique_ptr<pcre2_code, FreeExpression>;

std::string message_of(int error) {
  PCRE2_UCHAR why[256] = {};
  pcre2_get_error_message(error, why, sizeof why);
  return reinterpret_cast<const char*>(why);
}

Expected<Expression> compile_expression(std::string_view entry) {
  const std::string_view text = entry.substr(kExpression.size());
  int error = 0;
  PCRE2_SIZE place = 0;
  Expression compiled(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                                    PCRE2_ANCHORED, &error, &place, nullptr));
  if (compiled != nullptr) return compiled;
  return unexpected(Errc::malformed, "quantization_config.ignore: \"" + std::string(entry) +
                                         "\" is no regular expression: " + message_of(error) +
                                         " at character " + std::to_string(place));
}

/// What one match after the other works with.
class Matcher {
 public:
  Matcher()
      : data_(pcre2_match_data_create(1, nullptr), pcre2_match_data_free),
        context_(pcre2_match_context_create(nullptr), pcre2_match_context_free) {
    TROUPE_CHECK(data_ != nullptr && context_ != nullptr, "no memory for a match");
    pcre2_set_match_limit(context_.get(), kStepsMax);
  }

  /// *Errors*: `malformed`, naming `entry`, when the limit is reached.
  Expected<bool> matches(const pcre2_code* expression, std::string_view entry,
                         std::string_view name) {
    const int found = pcre2_match(expression, reinterpret_cast<PCRE2_SPTR>(name.data()),
                                  name.size(), 0, 0, data_.get(), context_.get());
    if (found >= 0) return true;
    if (found == PCRE2_ERROR_NOMATCH) return false;
    return unexpected(Errc::malformed, "quantization_config.ignore: \"" + std::string(entry) +
                                           "\" cannot be matched with " + std::string(name) + ": " +
                                           message_of(found) +
                                           "; write it without nested repetitions");
  }

 private:
  std::unique_ptr<pcre2_match_data, void (*)(pcre2_match_data*)> data_;
  std::unique_ptr<pcre2_match_context, void (*)(pcre2_match_context*)> context_;
};

}  // namespace

struct IgnoreList::Entries {
  struct Entry {
    std::string text;
    Expression expression;  // null: `text` is a name
  };
  std::vector<Entry> all;
  Matcher matcher;
};

IgnoreList::IgnoreList() : entries_(std::make_unique<Entries>()) {}
IgnoreList::IgnoreList(IgnoreList&&) noexcept = default;
IgnoreList& IgnoreList::operator=(IgnoreList&&) noexcept = default;
IgnoreList::~IgnoreList() = default;

Expected<IgnoreList> IgnoreList::compile(std::span<const std::string> entries) {
  if (entries.size() > kEntriesMax)
    return unexpected(Errc::malformed, "quantization_config.ignore has " +
                                           std::to_string(entries.size()) + " entries, at most " +
                                           std::to_string(kEntriesMax) + " are read");
  IgnoreList list;
  for (const std::string& text : entries) {
    Expected<Expression> expression = Expression();
    if (text.starts_with(kExpression)) expression = compile_expression(text);
    if (!expression) return unexpected(expression.error());
    list.entries_->all.push_back({text, *std::move(expression)});
  }
  return list;
}

Expected<std::string_view> IgnoreList::covering(std::string_view module) const {
  for (const auto& [text, expression] : entries_->all) {
    if (expression == nullptr) {
      if (text == module) return std::string_view(text);
      continue;
    }
    const Expected<bool> covers = entries_->matcher.matches(expression.get(), text, module);
    if (!covers) return unexpected(covers.error());
    if (*covers) return std::string_view(text);
  }
  return std::string_view();
}

}  // namespace troupe::model
