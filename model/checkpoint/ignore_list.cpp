// Matches module names with PCRE2, bounded per match.
#define PCRE2_CODE_UNIT_WIDTH 8
#include "model/checkpoint/ignore_list.hpp"

#include <pcre2.h>

#include <algorithm>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "core/check.hpp"

namespace troupe::model {
namespace {

constexpr std::string_view kExpression = "re:";
constexpr std::size_t kEntriesMax = 1024;     // published models have some ten
constexpr std::size_t kNumberedMax = 256;     // each is matched with each of K2's 70'000 modules
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

bool is_numeral(char c) { return c >= '0' && c <= '9'; }

/// Whether an expression may tell two digits apart: only one that has a digit itself (a character
/// by its code has one, too) or compares text with text that was matched before.
bool is_numbered(std::string_view expression) {
  if (std::ranges::any_of(expression, is_numeral)) return true;
  for (const std::string_view backreference : {"\\k", "\\g", "(?P="})
    if (expression.find(backreference) != std::string_view::npos) return true;
  return false;
}

/// What all modules have in common that differ in digits only.
std::string shape_of(std::string_view module) {
  std::string shape(module);
  std::ranges::replace_if(shape, is_numeral, '0');
  return shape;
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
    ++run_;
    const int found = pcre2_match(expression, reinterpret_cast<PCRE2_SPTR>(name.data()),
                                  name.size(), 0, 0, data_.get(), context_.get());
    if (found >= 0) return true;
    if (found == PCRE2_ERROR_NOMATCH) return false;
    return unexpected(Errc::malformed, "quantization_config.ignore: \"" + std::string(entry) +
                                           "\" cannot be matched with " + std::string(name) + ": " +
                                           message_of(found) +
                                           "; write it without nested repetitions");
  }

  std::uint64_t run() const { return run_; }

 private:
  std::uint64_t run_ = 0;
  std::unique_ptr<pcre2_match_data, void (*)(pcre2_match_data*)> data_;
  std::unique_ptr<pcre2_match_context, void (*)(pcre2_match_context*)> context_;
};

}  // namespace

struct IgnoreList::Entries {
  struct Rule {
    std::string text;
    Expression expression;
  };
  std::unordered_set<std::string> names;
  std::vector<Rule> numbered;
  std::vector<Rule> others;
  std::unordered_map<std::string, const Rule*> covering_shape;  // of `others`; null: none does
  Matcher matcher;

  Expected<const Rule*> first_of(const std::vector<Rule>& rules, std::string_view module) {
    for (const Rule& rule : rules) {
      const Expected<bool> covers = matcher.matches(rule.expression.get(), rule.text, module);
      if (!covers) return unexpected(covers.error());
      if (*covers) return &rule;
    }
    return nullptr;
  }

  Expected<const Rule*> first_of_others(std::string_view module) {
    const std::string shape = shape_of(module);
    const auto known = covering_shape.find(shape);
    if (known != covering_shape.end()) return known->second;
    const Expected<const Rule*> first = first_of(others, module);
    if (first) covering_shape.emplace(shape, *first);
    return first;
  }
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
  Entries& all = *list.entries_;
  for (const std::string& text : entries) {
    if (!text.starts_with(kExpression)) {
      all.names.insert(text);
      continue;
    }
    Expected<Expression> expression = compile_expression(text);
    if (!expression) return unexpected(expression.error());
    const bool numbered = is_numbered(std::string_view(text).substr(kExpression.size()));
    (numbered ? all.numbered : all.others).push_back({text, *std::move(expression)});
  }
  if (all.numbered.size() > kNumberedMax)
    return unexpected(Errc::malformed, "quantization_config.ignore has " +
                                           std::to_string(all.numbered.size()) +
                                           " expressions that tell numbers apart, at most " +
                                           std::to_string(kNumberedMax) +
                                           " are read; list the names of the modules instead");
  return list;
}

Expected<std::string_view> IgnoreList::covering(std::string_view module) const {
  const auto name = entries_->names.find(std::string(module));
  if (name != entries_->names.end()) return std::string_view(*name);
  Expected<const Entries::Rule*> rule = entries_->first_of_others(module);
  if (rule && *rule == nullptr) rule = entries_->first_of(entries_->numbered, module);
  if (!rule) return unexpected(rule.error());
  return *rule == nullptr ? std::string_view() : std::string_view((*rule)->text);
}

std::uint64_t IgnoreList::matches_run() const { return entries_->matcher.run(); }

}  // namespace troupe::model
