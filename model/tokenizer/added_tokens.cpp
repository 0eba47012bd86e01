// AddedTokenMatcher: one trie per pass.
#include "model/tokenizer/added_tokens.hpp"

#include <algorithm>

namespace troupe::model {

AddedTokenMatcher::Trie::Trie() : nodes_(1) {}

std::int32_t AddedTokenMatcher::Trie::child_of(std::int32_t node, char byte) const {
  std::int32_t child = nodes_[static_cast<std::size_t>(node)].child;
  while (child >= 0 && nodes_[static_cast<std::size_t>(child)].byte != byte) {
    child = nodes_[static_cast<std::size_t>(child)].sibling;
  }
  return child;
}

void AddedTokenMatcher::Trie::add(std::string_view content, std::int32_t id) {
  starts_[static_cast<std::uint8_t>(content[0])] = true;
  std::int32_t node = 0;
  for (const char byte : content) {
    std::int32_t next = child_of(node, byte);
    if (next < 0) {
      next = static_cast<std::int32_t>(nodes_.size());
      nodes_.push_back({-1, -1, nodes_[static_cast<std::size_t>(node)].child, byte});
      nodes_[static_cast<std::size_t>(node)].child = next;
    }
    node = next;
  }
  nodes_[static_cast<std::size_t>(node)].id = id;
}

AddedTokenMatch AddedTokenMatcher::Trie::longest_at(std::string_view text, std::size_t at,
                                                    std::size_t end) const {
  AddedTokenMatch best{{at, at}, -1};
  std::int32_t node = 0;
  for (std::size_t i = at; i < end; ++i) {
    node = child_of(node, text[i]);
    if (node < 0) break;
    const std::int32_t id = nodes_[static_cast<std::size_t>(node)].id;
    if (id >= 0) best = {{at, i + 1}, id};
  }
  return best;
}

void AddedTokenMatcher::Trie::find(std::string_view text, TextRange range,
                                   std::vector<AddedTokenMatch>& out) const {
  for (std::size_t at = range.begin; at < range.end;) {
    if (!starts_[static_cast<std::uint8_t>(text[at])]) {
      ++at;
      continue;
    }
    const AddedTokenMatch match = longest_at(text, at, range.end);
    if (match.id >= 0) out.push_back(match);
    at = std::max(at + 1, match.range.end);
  }
}

AddedTokenMatcher::AddedTokenMatcher(const std::vector<AddedToken>& tokens) {
  for (const AddedToken& token : tokens) {
    (token.normalized ? normalized_ : raw_).add(token.content, token.id);
  }
}

std::vector<AddedTokenMatch> AddedTokenMatcher::find(std::string_view text,
                                                     const std::vector<TextRange>& ranges) const {
  std::vector<AddedTokenMatch> matches;
  for (const TextRange range : ranges) {
    std::vector<AddedTokenMatch> raw;
    raw_.find(text, range, raw);
    std::size_t begin = range.begin;
    for (const AddedTokenMatch& match : raw) {
      normalized_.find(text, {begin, match.range.begin}, matches);
      matches.push_back(match);
      begin = match.range.end;
    }
    normalized_.find(text, {begin, range.end}, matches);
  }
  return matches;
}

}  // namespace troupe::model
