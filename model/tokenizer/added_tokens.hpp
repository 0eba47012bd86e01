// Finds added tokens ("<think>", "<｜User｜>") in raw text, before it is cut into pieces.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::model {

struct AddedToken {
  std::string content;
  std::int32_t id = 0;
  bool special = false;  // left out when decoding with skip_special
  /// Sought in a second pass, in what the tokens without this flag left (Hugging Face does so; the
  /// text is the same in both passes because no normaliser is supported).
  bool normalized = false;
};

/// Bytes [begin, end) of a text.
struct TextRange {
  std::size_t begin = 0;
  std::size_t end = 0;
  friend bool operator==(const TextRange&, const TextRange&) = default;
};

struct AddedTokenMatch {
  TextRange range;
  std::int32_t id = 0;
  friend bool operator==(const AddedTokenMatch&, const AddedTokenMatch&) = default;
};

/// Leftmost-longest matching with a byte trie. Time: bytes of the text times length of the longest
/// token at worst; bytes of the text when no token starts there. Threading: const calls from any.
class AddedTokenMatcher {
 public:
  explicit AddedTokenMatcher(const std::vector<AddedToken>& tokens);

  /// Matches inside `ranges` (ascending, disjoint) of `text`, ascending; none crosses the border of
  /// a range.
  std::vector<AddedTokenMatch> find(std::string_view text,
                                    const std::vector<TextRange>& ranges) const;

 private:
  struct Node {
    std::int32_t id = -1;  // the token that ends here
    std::int32_t child = -1;
    std::int32_t sibling = -1;
    char byte = 0;
  };
  class Trie {
   public:
    Trie();
    void add(std::string_view content, std::int32_t id);
    /// The longest token that starts at `at` and ends by `end`; its range is empty when none does.
    AddedTokenMatch longest_at(std::string_view text, std::size_t at, std::size_t end) const;
    void find(std::string_view text, TextRange range, std::vector<AddedTokenMatch>& out) const;

   private:
    std::int32_t child_of(std::int32_t node, char byte) const;
    std::vector<Node> nodes_;
    bool starts_[256] = {};
  };
  Trie raw_;
  Trie normalized_;
};

}  // namespace troupe::model
