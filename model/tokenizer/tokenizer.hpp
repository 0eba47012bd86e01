// Text to token ids and back, by a Hugging Face tokenizer.json.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/expected.hpp"
#include "model/tokenizer/tokenizer_config.hpp"

namespace troupe::model {

struct EncodeOptions {
  /// False: the text is a stranger's and "<｜User｜>" in it stays text (spec 7.1).
  bool recognize_added_tokens = true;
};

/// A stretch of a prompt and whether its author may write added tokens. Segments may cut anywhere;
/// only the whole prompt must be well-formed UTF-8.
struct Segment {
  std::string_view text;
  bool trusted = false;
};

/// Byte-level BPE with added tokens. Ids are those of Hugging Face `tokenizers` for every code
/// point that Unicode 14 (PCRE2 10.42) assigns. Nothing adds BOS or EOS: that is the caller's, by
/// `config().add_bos_token`. Movable. Threading: const calls from any thread; none blocks.
class Tokenizer {
 public:
  /// Reads tokenizer.json, tokenizer_config.json and chat_template.jinja of a checkpoint directory.
  /// Errors: not_found without tokenizer.json; unsupported and malformed with file and place;
  /// unsupported when only tiktoken.model is there.
  static Expected<Tokenizer> load(const std::filesystem::path& dir);
  /// The same from the contents of tokenizer.json.
  static Expected<Tokenizer> parse(std::string_view json, TokenizerConfig config = {});

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  /// Time O(n log n) in the bytes of the text. Errors: invalid_argument with the byte offset where
  /// the text is not UTF-8, or when it is 2 GiB or longer; resource_exhausted from PreTokenizer.
  Expected<std::vector<std::int32_t>> encode(std::string_view text,
                                             EncodeOptions options = {}) const;

  /// Encodes the segments as one text. An added token is recognised where all its characters lie in
  /// trusted segments (neighbouring trusted segments count as one). What remains between added
  /// tokens is cut into pieces without regard to borders of segments, so that the ids of a prompt
  /// of trusted segments are those of `encode` of the whole. Errors: as encode.
  Expected<std::vector<std::int32_t>> encode_segments(std::span<const Segment> segments) const;

  /// Bytes that are not UTF-8 become U+FFFD (maximal subparts); ids without a token add nothing.
  std::string decode(std::span<const std::int32_t> ids, bool skip_special = false) const;

  /// The bytes that a token adds to the text; empty for ids without a token.
  std::string_view bytes_of(std::int32_t id) const;
  /// The token as tokenizer.json spells it ("Ġthe", "<think>"), or nothing.
  std::optional<std::string_view> text_of(std::int32_t id) const;
  /// The id of a token spelled as tokenizer.json does; added tokens first.
  std::optional<std::int32_t> id_of(std::string_view token) const;
  /// Marked "special" in tokenizer.json (BOS, EOS, padding; not DeepSeek's <｜User｜>).
  bool is_special(std::int32_t id) const;
  /// One of "added_tokens", special or not: a marker, never a piece of ordinary text.
  bool is_added(std::int32_t id) const;

  /// One past the highest id, added tokens included; the model's vocabulary may be padded beyond.
  std::int32_t size() const;
  std::optional<std::int32_t> bos_id() const;
  std::optional<std::int32_t> eos_id() const;
  const TokenizerConfig& config() const;

 private:
  struct State;
  explicit Tokenizer(std::unique_ptr<const State> state);
  std::unique_ptr<const State> state_;
};

}  // namespace troupe::model
