// Sorts the tokens by their bytes and lays the trie out in preorder.
#include "model/grammar/token_table.hpp"

#include <algorithm>
#include <numeric>

namespace troupe::model {
namespace {

bool is_marker_byte(char byte) {
  return static_cast<std::uint8_t>(byte) >= TokenTable::kFirstMarkerByte;
}

bool is_of_calls(Marker marker) {
  return marker != Marker::think_begin && marker != Marker::think_end;
}

std::vector<std::string> text_tokens(const Tokenizer& tokenizer) {
  std::vector<std::string> texts(static_cast<std::size_t>(tokenizer.size()));
  for (std::int32_t id = 0; id < tokenizer.size(); ++id) {
    std::string& text = texts[static_cast<std::size_t>(id)];
    if (!tokenizer.is_added(id)) {
      text = tokenizer.bytes_of(id);
      if (std::any_of(text.begin(), text.end(), is_marker_byte)) text.clear();
    } else if (const auto marker = marker_of(tokenizer.bytes_of(id));
               marker && is_of_calls(*marker)) {
      text = static_cast<char>(TokenTable::byte_of(*marker));
    }
  }
  return texts;
}

std::size_t common_prefix(std::string_view a, std::string_view b) {
  const auto [at, other] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  return static_cast<std::size_t>(at - a.begin());
}

}  // namespace

TokenTable::TokenTable(const Tokenizer& tokenizer) : TokenTable(text_tokens(tokenizer)) {
  for (std::int32_t id = 0; id < size(); ++id) {
    if (!bytes_of(id).empty() && is_marker_byte(bytes_of(id).front())) call_markers_.push_back(id);
  }
}

TokenTable::TokenTable(std::vector<std::string> texts) : texts_(std::move(texts)) { build(); }

std::string_view TokenTable::bytes_of(std::int32_t id) const {
  if (id < 0 || id >= size()) return {};
  return texts_[static_cast<std::size_t>(id)];
}

std::uint8_t TokenTable::byte_group(std::uint8_t byte) {
  if (byte >= 0x80) return 0;
  if (byte == '\n') return 1;
  if (byte < 0x20 || byte == 0x7f) return 2;
  if (byte >= '0' && byte <= '9') return 3;
  if (byte >= 'A' && byte <= 'Z') return 4;
  if (byte >= 'a' && byte <= 'z') return 5;
  // Space and 32 signs: 0x20..0x2f, 0x3a..0x40, 0x5b..0x60, 0x7b..0x7e.
  if (byte < '0') return static_cast<std::uint8_t>(6 + byte - 0x20);
  if (byte < 'A') return static_cast<std::uint8_t>(22 + byte - 0x3a);
  if (byte < 'a') return static_cast<std::uint8_t>(29 + byte - 0x5b);
  return static_cast<std::uint8_t>(35 + byte - 0x7b);
}

void TokenTable::build() {
  for (std::int32_t id = 0; id < size(); ++id) {
    const std::string_view text = bytes_of(id);
    if (!text.empty()) tokens_.push_back(id);
    if (text.size() == 1) single_bytes_[static_cast<std::uint8_t>(text[0])] = true;
  }
  std::stable_sort(tokens_.begin(), tokens_.end(),
                   [this](std::int32_t a, std::int32_t b) { return bytes_of(a) < bytes_of(b); });
  nodes_.push_back({});
  std::vector<std::uint32_t> path{0};  // nodes from the root to the last token
  std::string_view previous;
  const auto close = [&](std::size_t depth) {
    for (; path.size() > depth + 1; path.pop_back()) {
      const Node& done = nodes_[path.back()];
      nodes_[path[path.size() - 2]].below |= done.below | 1ull << byte_group(done.byte);
      nodes_[path.back()].end = static_cast<std::uint32_t>(nodes_.size());
    }
  };
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    const std::string_view text = bytes_of(tokens_[i]);
    close(common_prefix(previous, text));
    for (std::size_t depth = path.size(); depth <= text.size(); ++depth) {
      path.push_back(static_cast<std::uint32_t>(nodes_.size()));
      Node node;
      node.first_token = static_cast<std::uint32_t>(i);
      node.depth = static_cast<std::uint16_t>(depth);
      node.byte = static_cast<std::uint8_t>(text[depth - 1]);
      nodes_.push_back(node);
    }
    ++nodes_[path.back()].own_tokens;
    depth_max_ = std::max(depth_max_, text.size());
    previous = text;
  }
  close(0);
  nodes_[0].end = static_cast<std::uint32_t>(nodes_.size());
  Node last;
  last.first_token = static_cast<std::uint32_t>(tokens_.size());
  nodes_.push_back(last);
}

}  // namespace troupe::model
