// Vocabulary: linear probing over ids, texts in one arena.
#include "model/tokenizer/vocabulary.hpp"

#include <functional>
#include <limits>

namespace troupe::model {

std::string_view Vocabulary::text_at(std::int32_t id) const {
  const Span span = by_id_[static_cast<std::size_t>(id)];
  return std::string_view(chars_).substr(span.begin, span.bytes);
}

/// Where `text` is, or the empty slot where it would go. The table is never full.
std::size_t Vocabulary::slot_of(std::string_view text) const {
  const std::size_t mask = slots_.size() - 1;
  std::size_t slot = std::hash<std::string_view>{}(text)&mask;
  while (slots_[slot] >= 0 && text_at(slots_[slot]) != text) slot = (slot + 1) & mask;
  return slot;
}

void Vocabulary::grow() {
  slots_.assign(slots_.empty() ? 64 : slots_.size() * 2, -1);
  for (std::int32_t id = 0; id < id_end(); ++id) {
    if (by_id_[static_cast<std::size_t>(id)].bytes > 0) slots_[slot_of(text_at(id))] = id;
  }
}

Expected<void> Vocabulary::add(std::string_view text, std::int64_t id) {
  const auto name = [&] { return "token \"" + std::string(text) + "\""; };
  if (text.empty()) return unexpected(Errc::malformed, "a token with an empty text");
  if (id < 0 || id >= kIdEnd) {
    return unexpected(Errc::out_of_range, name() + " has id " + std::to_string(id) +
                                              ", which is not in 0.." + std::to_string(kIdEnd - 1));
  }
  if (chars_.size() + text.size() > std::numeric_limits<std::uint32_t>::max()) {
    return unexpected(Errc::unsupported, "token texts of more than 4 GiB");
  }
  if (const auto taken = text_of(static_cast<std::int32_t>(id))) {
    return unexpected(Errc::malformed, name() + " has id " + std::to_string(id) +
                                           ", which token \"" + std::string(*taken) +
                                           "\" has already");
  }
  if (2 * (tokens_ + 1) > slots_.size()) grow();
  const std::size_t slot = slot_of(text);
  if (slots_[slot] >= 0) {
    return unexpected(Errc::malformed, name() + " appears twice, with ids " +
                                           std::to_string(slots_[slot]) + " and " +
                                           std::to_string(id));
  }
  if (id >= id_end()) by_id_.resize(static_cast<std::size_t>(id) + 1);
  by_id_[static_cast<std::size_t>(id)] = {static_cast<std::uint32_t>(chars_.size()),
                                          static_cast<std::uint32_t>(text.size())};
  chars_ += text;
  slots_[slot] = static_cast<std::int32_t>(id);
  ++tokens_;
  return {};
}

std::optional<std::int32_t> Vocabulary::id_of(std::string_view text) const {
  if (slots_.empty() || text.empty()) return std::nullopt;
  const std::int32_t id = slots_[slot_of(text)];
  if (id < 0) return std::nullopt;
  return id;
}

std::optional<std::string_view> Vocabulary::text_of(std::int32_t id) const {
  if (id < 0 || id >= id_end() || by_id_[static_cast<std::size_t>(id)].bytes == 0) {
    return std::nullopt;
  }
  return text_at(id);
}

}  // namespace troupe::model
