// The bytes of every token that an answer's text can be made of, as a trie that masks walk.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/chat/answer/marker.hpp"
#include "model/tokenizer/tokenizer.hpp"

namespace troupe::model {

/// The text tokens of a vocabulary. Added tokens ("<think>", "<｜User｜>", EOS) are not among them:
/// a grammar never allows one, whatever it spells. The exceptions are the markers of tool calls:
/// each is in the table as one byte that no text has, which a grammar of calls asks for.
/// Immutable; share it by std::shared_ptr. *Threading*: const calls from any thread.
class TokenTable {
 public:
  /// The byte that stands for a marker of tool calls: from 0xf8 on UTF-8 has none. Tokens of the
  /// vocabulary that contain such a byte spell no text and are left out.
  static constexpr std::uint8_t byte_of(Marker marker) {
    return static_cast<std::uint8_t>(kFirstMarkerByte + static_cast<std::uint8_t>(marker));
  }
  static constexpr std::uint8_t kFirstMarkerByte = 0xf8;

  explicit TokenTable(const Tokenizer& tokenizer);
  /// `texts[id]` are the bytes of token `id`; an empty one is no text token.
  explicit TokenTable(std::vector<std::string> texts);

  /// One past the highest id.
  std::int32_t size() const { return static_cast<std::int32_t>(texts_.size()); }
  /// Empty for ids that are no text token.
  std::string_view bytes_of(std::int32_t id) const;
  /// The tokens that are markers of tool calls.
  std::span<const std::int32_t> call_markers() const { return call_markers_; }
  /// Whether some token is this byte alone. A grammar uses such bytes only, so that whatever it
  /// allows next can be written.
  bool has_byte(std::uint8_t byte) const { return single_bytes_[byte]; }

  /// The trie in preorder, children by ascending byte; node 0 is the root. A node's subtree is
  /// [node, node.end), and the tokens below it, itself included, are
  /// tokens()[node.first_token .. nodes()[node.end].first_token): a last node closes the list.
  struct Node {
    std::uint32_t end = 0;
    std::uint32_t first_token = 0;  // tokens at this node, then those of its subtree
    std::uint32_t own_tokens = 0;   // how many of them end at this node
    std::uint16_t depth = 0;
    std::uint8_t byte = 0;
    std::uint64_t below = 0;  // set of byte_group() of all bytes below this node
  };
  std::span<const Node> nodes() const { return nodes_; }
  std::span<const std::int32_t> tokens() const { return tokens_; }
  std::size_t depth_max() const { return depth_max_; }

  /// A partition of bytes into at most 64 groups: each ASCII sign alone, digits, cases, the rest.
  static std::uint8_t byte_group(std::uint8_t byte);

 private:
  void build();

  std::vector<std::string> texts_;
  std::vector<Node> nodes_;
  std::vector<std::int32_t> tokens_;
  std::vector<std::int32_t> call_markers_;
  std::array<bool, 256> single_bytes_{};
  std::size_t depth_max_ = 0;
};

}  // namespace troupe::model
