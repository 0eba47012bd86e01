// Tokenizer: added tokens out of the text first, the rest in pieces through byte-pair encoding.
#include "model/tokenizer/tokenizer.hpp"

#include <algorithm>
#include <bit>
#include <functional>
#include <limits>
#include <tuple>
#include <utility>

#include "model/checkpoint/files.hpp"
#include "model/tokenizer/added_tokens.hpp"
#include "model/tokenizer/bpe.hpp"
#include "model/tokenizer/byte_alphabet.hpp"
#include "model/tokenizer/detokenizer.hpp"
#include "model/tokenizer/pre_tokenizer.hpp"
#include "model/tokenizer/tokenizer_json.hpp"
#include "model/tokenizer/utf8.hpp"
#include "model/tokenizer/vocabulary.hpp"

namespace troupe::model {
namespace {

constexpr std::size_t kTextBytesMax = std::numeric_limits<std::int32_t>::max();
constexpr std::size_t kFileBytesMax = 512 << 20;  // published files have 8 to 40 MB

/// Pieces of one text that were encoded before. A slot points into the ids made so far, so a hit
/// copies ids within that vector; colliding pieces replace each other.
class PieceCache {
 public:
  static constexpr std::size_t kPieceBytesMax = 64;

  explicit PieceCache(std::size_t text_bytes)
      : slots_(std::bit_ceil(std::clamp<std::size_t>(text_bytes / 4, 1, 1 << 14))) {}

  struct Slot {
    std::string_view piece;
    std::size_t begin = 0;  // its ids are ids[begin, begin + count)
    std::size_t count = 0;
  };
  Slot& slot_of(std::string_view piece) {
    return slots_[std::hash<std::string_view>{}(piece) & (slots_.size() - 1)];
  }

 private:
  std::vector<Slot> slots_;
};

/// The bytes of all tokens in one string.
class TokenBytes {
 public:
  void add(std::int32_t id, std::string_view bytes) {
    if (static_cast<std::size_t>(id) >= spans_.size()) {
      spans_.resize(static_cast<std::size_t>(id) + 1);
    }
    spans_[static_cast<std::size_t>(id)] = {bytes_.size(), bytes.size()};
    bytes_ += bytes;
  }
  std::string_view at(std::int32_t id) const {
    if (id < 0 || static_cast<std::size_t>(id) >= spans_.size()) return {};
    const auto [begin, size] = spans_[static_cast<std::size_t>(id)];
    return std::string_view(bytes_).substr(begin, size);
  }

 private:
  std::string bytes_;
  std::vector<std::pair<std::size_t, std::size_t>> spans_;
};

}  // namespace

struct Tokenizer::State {
  Vocabulary vocabulary;
  Vocabulary added;
  std::vector<std::int32_t> special_ids;  // ascending
  TokenBytes bytes;
  bool ignore_merges = false;
  Bpe bpe;
  PreTokenizer pre_tokenizer;
  AddedTokenMatcher matcher;
  TokenizerConfig config;
  std::optional<std::int32_t> bos_id;
  std::optional<std::int32_t> eos_id;

  State(Bpe bpe_in, PreTokenizer pre_tokenizer_in, AddedTokenMatcher matcher_in)
      : bpe(std::move(bpe_in)),
        pre_tokenizer(std::move(pre_tokenizer_in)),
        matcher(std::move(matcher_in)) {}

  std::optional<std::int32_t> id_of(std::string_view token) const;
  Expected<void> add_tokens(const std::vector<AddedToken>& tokens);
  void spell_tokens();
  Expected<void> resolve(const char* key, const std::optional<std::string>& token,
                         std::optional<std::int32_t>& id) const;
  Expected<std::vector<std::int32_t>> encode(std::string_view text,
                                             const std::vector<TextRange>& trusted) const;
};

std::optional<std::int32_t> Tokenizer::State::id_of(std::string_view token) const {
  const auto id = added.id_of(token);
  return id ? id : vocabulary.id_of(token);
}

/// An added token may repeat one of the vocabulary, with the same id.
Expected<void> Tokenizer::State::add_tokens(const std::vector<AddedToken>& tokens) {
  for (const AddedToken& token : tokens) {
    const auto name = "added token \"" + token.content + "\" with id " + std::to_string(token.id);
    const auto id = vocabulary.id_of(token.content);
    const auto text = vocabulary.text_of(token.id);
    if (id && *id != token.id) {
      return unexpected(Errc::malformed,
                        name + " has id " + std::to_string(*id) + " in model.vocab");
    }
    if (text && *text != token.content) {
      return unexpected(Errc::malformed,
                        name + ": in model.vocab that id is \"" + std::string(*text) + "\"");
    }
    if (auto done = added.add(token.content, token.id); !done) {
      return unexpected(done.error().code, "added_tokens: " + done.error().detail);
    }
    if (token.special) special_ids.push_back(token.id);
  }
  std::sort(special_ids.begin(), special_ids.end());
  return {};
}

void Tokenizer::State::spell_tokens() {
  for (const Vocabulary* tokens : {&vocabulary, &added}) {
    for (std::int32_t id = 0; id < tokens->id_end(); ++id) {
      const auto text = tokens->text_of(id);
      if (!text) continue;
      const auto spelled = bytes_of_token_text(*text);
      bytes.add(id, spelled ? std::string_view(*spelled) : *text);
    }
  }
}

Expected<void> Tokenizer::State::resolve(const char* key, const std::optional<std::string>& token,
                                         std::optional<std::int32_t>& id) const {
  if (!token) return {};
  id = id_of(*token);
  if (id) return {};
  return unexpected(Errc::malformed, "tokenizer_config.json: " + std::string(key) + " \"" + *token +
                                         "\" is no token of tokenizer.json");
}

/// `trusted`: where added tokens are recognised; ascending, disjoint.
Expected<std::vector<std::int32_t>> Tokenizer::State::encode(
    std::string_view text, const std::vector<TextRange>& trusted) const {
  if (text.size() > kTextBytesMax) {
    return unexpected(Errc::invalid_argument, "the text has " + std::to_string(text.size()) +
                                                  " bytes; at most " +
                                                  std::to_string(kTextBytesMax) + " are possible");
  }
  if (const auto bad = first_invalid_utf8(text)) {
    return unexpected(Errc::invalid_argument,
                      "the text is not UTF-8 at byte " + std::to_string(*bad));
  }
  std::vector<std::int32_t> ids;
  BpeScratch scratch;
  PieceCache cache(pre_tokenizer.pieces_lie_in_text() ? text.size() : 0);
  const auto encode_piece = [&](std::string_view piece) {
    if (ignore_merges) {
      // The vocabulary spells bytes as characters; a piece is looked up in that spelling.
      std::string spelled;
      for (const char byte : piece)
        spelled += utf8_of(char_of_byte(static_cast<std::uint8_t>(byte)));
      if (const auto id = vocabulary.id_of(spelled)) {
        ids.push_back(*id);
        return;
      }
    }
    bpe.encode(piece, scratch, ids);
  };
  const auto emit = [&](std::string_view piece) {
    if (!pre_tokenizer.pieces_lie_in_text() || piece.size() > PieceCache::kPieceBytesMax) {
      return encode_piece(piece);
    }
    PieceCache::Slot& slot = cache.slot_of(piece);
    const std::size_t begin = ids.size();
    if (slot.piece == piece) {
      for (std::size_t i = 0; i < slot.count; ++i) ids.push_back(ids[slot.begin + i]);
    } else {
      encode_piece(piece);
    }
    slot = {piece, begin, ids.size() - begin};
  };
  std::size_t begin = 0;
  for (const AddedTokenMatch& match : matcher.find(text, trusted)) {
    auto split = pre_tokenizer.split(text.substr(begin, match.range.begin - begin), emit);
    if (!split) return unexpected(split.error());
    ids.push_back(match.id);
    begin = match.range.end;
  }
  if (auto split = pre_tokenizer.split(text.substr(begin), emit); !split) {
    return unexpected(split.error());
  }
  return ids;
}

Tokenizer::Tokenizer(std::unique_ptr<const State> state) : state_(std::move(state)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Expected<Tokenizer> Tokenizer::parse(std::string_view json, TokenizerConfig config) {
  const auto failed = [](const Error& error) {
    return unexpected(error.code, "tokenizer.json: " + error.detail);
  };
  auto file = parse_tokenizer_file(json);
  if (!file) return failed(file.error());
  auto bpe = Bpe::build(file->vocabulary, file->merges);
  if (!bpe) return failed(bpe.error());
  auto pre_tokenizer = PreTokenizer::build(file->pre_tokenizer);
  if (!pre_tokenizer) return failed(pre_tokenizer.error());
  auto state = std::make_unique<State>(*std::move(bpe), *std::move(pre_tokenizer),
                                       AddedTokenMatcher(file->added_tokens));
  state->vocabulary = std::move(file->vocabulary);
  state->ignore_merges = file->ignore_merges;
  if (auto added = state->add_tokens(file->added_tokens); !added) return failed(added.error());
  state->spell_tokens();
  state->config = std::move(config);
  for (auto [key, token, id] :
       {std::tuple("bos_token", &state->config.bos_token, &state->bos_id),
        std::tuple("eos_token", &state->config.eos_token, &state->eos_id)}) {
    if (auto found = state->resolve(key, *token, *id); !found) return unexpected(found.error());
  }
  return Tokenizer(std::move(state));
}

Expected<Tokenizer> Tokenizer::load(const std::filesystem::path& dir) {
  const auto path = dir / "tokenizer.json";
  const auto json = read_text_file(path, kFileBytesMax);
  if (!json) {
    std::error_code ignored;
    const bool missing = json.error().code == Errc::not_found;
    if (missing && std::filesystem::exists(dir / "tiktoken.model", ignored)) {
      return unexpected(Errc::unsupported,
                        dir.string() +
                            " has tiktoken.model but no tokenizer.json, and Troupe reads the "
                            "latter only; add a converted tokenizer.json, or send token ids");
    }
    return unexpected(json.error());
  }
  auto config = TokenizerConfig::load(dir);
  if (!config) return unexpected(config.error());
  auto tokenizer = parse(*json, *std::move(config));
  if (!tokenizer) {
    return unexpected(tokenizer.error().code, dir.string() + "/" + tokenizer.error().detail);
  }
  return tokenizer;
}

Expected<std::vector<std::int32_t>> Tokenizer::encode(std::string_view text,
                                                      EncodeOptions options) const {
  std::vector<TextRange> trusted;
  if (options.recognize_added_tokens) trusted.push_back({0, text.size()});
  return state_->encode(text, trusted);
}

Expected<std::vector<std::int32_t>> Tokenizer::encode_segments(
    std::span<const Segment> segments) const {
  std::string text;
  std::vector<TextRange> trusted;
  for (const Segment& segment : segments) {
    const std::size_t begin = text.size();
    text += segment.text;
    if (!segment.trusted || segment.text.empty()) continue;
    if (!trusted.empty() && trusted.back().end == begin) {
      trusted.back().end = text.size();
    } else {
      trusted.push_back({begin, text.size()});
    }
  }
  return state_->encode(text, trusted);
}

std::string Tokenizer::decode(std::span<const std::int32_t> ids, bool skip_special) const {
  std::string text;
  Utf8Assembler assembler;
  for (const std::int32_t id : ids) {
    if (!skip_special || !is_special(id)) assembler.push(bytes_of(id), text);
  }
  assembler.finish(text);
  return text;
}

std::string_view Tokenizer::bytes_of(std::int32_t id) const { return state_->bytes.at(id); }

std::optional<std::string_view> Tokenizer::text_of(std::int32_t id) const {
  const auto text = state_->added.text_of(id);
  return text ? text : state_->vocabulary.text_of(id);
}

std::optional<std::int32_t> Tokenizer::id_of(std::string_view token) const {
  return state_->id_of(token);
}

bool Tokenizer::is_special(std::int32_t id) const {
  return std::binary_search(state_->special_ids.begin(), state_->special_ids.end(), id);
}

bool Tokenizer::is_added(std::int32_t id) const { return state_->added.text_of(id).has_value(); }

std::int32_t Tokenizer::size() const {
  return std::max(state_->vocabulary.id_end(), state_->added.id_end());
}

std::optional<std::int32_t> Tokenizer::bos_id() const { return state_->bos_id; }
std::optional<std::int32_t> Tokenizer::eos_id() const { return state_->eos_id; }
const TokenizerConfig& Tokenizer::config() const { return state_->config; }

}  // namespace troupe::model
