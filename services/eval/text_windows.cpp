// Arithmetic of windows, and tokenizers compared id by id.
#include "services/eval/text_windows.hpp"

#include <algorithm>

#include "core/check.hpp"
#include "model/config/json_value.hpp"

namespace troupe::services {
namespace {

std::string id_text(std::optional<std::int32_t> id) { return id ? std::to_string(*id) : "none"; }

}  // namespace

TextWindows::TextWindows(std::vector<std::int32_t> ids, WindowShape shape)
    : ids_(std::move(ids)), shape_(shape) {
  TROUPE_CHECK(shape.length >= 2, "a window of " + std::to_string(shape.length) + " ids");
  const std::int64_t first = shape_.bos ? 0 : 1;  // without BOS a window's first id is not scored
  const auto fits = [&](std::size_t i) {
    return static_cast<std::int64_t>(text_of(i).size()) > first &&
           static_cast<std::int64_t>(i) < shape_.windows_max.value_or(INT64_MAX);
  };
  for (; fits(count_); ++count_)
    scored_ += static_cast<std::int64_t>(text_of(count_).size()) - first;
}

std::span<const std::int32_t> TextWindows::text_of(std::size_t i) const {
  const auto step = static_cast<std::size_t>(shape_.length - (shape_.bos ? 1 : 0));
  const std::size_t begin = std::min(i * step, ids_.size());
  return std::span(ids_).subspan(begin, std::min(step, ids_.size() - begin));
}

std::vector<std::int32_t> TextWindows::window(std::size_t i) const {
  std::vector<std::int32_t> prompt;
  if (shape_.bos) prompt.push_back(*shape_.bos);
  const auto text = text_of(i);
  prompt.insert(prompt.end(), text.begin(), text.end());
  return prompt;
}

std::optional<std::string> tokenizer_difference(const model::Tokenizer& a,
                                                const model::Tokenizer& b) {
  if (a.size() != b.size())
    return "one has " + std::to_string(a.size()) + " ids, the other " + std::to_string(b.size());
  for (std::int32_t id = 0; id < a.size(); ++id)
    if (a.text_of(id) != b.text_of(id))
      return "id " + std::to_string(id) + " is " + model::quote_json(a.text_of(id).value_or("")) +
             " in one and " + model::quote_json(b.text_of(id).value_or("")) + " in the other";
  if (a.bos_id() != b.bos_id() || a.config().add_bos_token != b.config().add_bos_token)
    return "begin of text is id " + id_text(a.bos_id()) +
           (a.config().add_bos_token ? "" : ", not added,") + " in one and " + id_text(b.bos_id()) +
           (b.config().add_bos_token ? "" : ", not added,") + " in the other";
  return std::nullopt;
}

}  // namespace troupe::services
