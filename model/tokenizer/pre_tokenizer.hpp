// Cuts text into the pieces that byte-pair encoding works on, by the Split and ByteLevel steps.
#pragma once
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/expected.hpp"

namespace troupe::model {

/// What tokenizer.json says: patterns in PCRE2's syntax, in order, then the flags of ByteLevel.
struct PreTokenizerSpec {
  std::vector<std::string> patterns;  // each from translate_split_pattern or literal_split_pattern
  bool add_prefix_space = false;
  bool use_regex = false;  // GPT-2's own pattern as a last split
};

/// Runs every split inside every piece that the split before it left; look-around sees only that
/// piece. Matches and the text between them are both pieces ("Isolated"). Source: spec 7.1.
/// Threading: const calls from any thread.
class PreTokenizer {
 public:
  using Emit = std::function<void(std::string_view)>;

  /// Errors: unsupported when PCRE2 refuses a pattern, with its index and PCRE2's words.
  static Expected<PreTokenizer> build(const PreTokenizerSpec& spec);
  PreTokenizer(PreTokenizer&&) noexcept;
  PreTokenizer& operator=(PreTokenizer&&) noexcept;
  ~PreTokenizer();

  /// Calls `emit` with the pieces of `text` (well-formed UTF-8) in order. Pieces of a tokenizer
  /// with add_prefix_space may lie outside `text` and die with the call of `emit`. Errors:
  /// resource_exhausted when a pattern needs more steps or memory than its bound (100,000 + 16 per
  /// byte of the piece, 512 MiB).
  Expected<void> split(std::string_view text, const Emit& emit) const;
  /// Whether pieces lie inside the text given to `split`.
  bool pieces_lie_in_text() const { return !add_prefix_space_; }

 private:
  struct Code;     // one compiled pattern
  struct Scratch;  // match data of one call
  PreTokenizer();
  Expected<void> run(std::size_t step, std::string_view piece, Scratch& scratch,
                     const Emit& emit) const;

  std::vector<Code> codes_;
  std::size_t prefix_step_ = 0;  // a space is put in front of what reaches this step
  bool add_prefix_space_ = false;
};

}  // namespace troupe::model
