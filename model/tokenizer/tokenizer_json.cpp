// Streams the vocabulary and the merges past any DOM (250,000 values), then reads the small rest.
#include "model/tokenizer/tokenizer_json.hpp"

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "model/config/json_error_text.hpp"
#include "model/tokenizer/split_pattern.hpp"

namespace troupe::model {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kDepthMax = 64;  // published files nest 6 deep
constexpr std::size_t kMergesMax = 1 << 24;

Unexpected malformed(std::string detail) { return unexpected(Errc::malformed, std::move(detail)); }
Unexpected unsupported(std::string detail) {
  return unexpected(Errc::unsupported, std::move(detail));
}

/// SAX handler: `model.vocab` and `model.merges` go to their containers, the rest into `rest`.
/// The member names are nlohmann's.
class Reader {
 public:
  Vocabulary vocabulary;
  MergeList merges;
  bool has_vocabulary = false;
  bool has_merges = false;
  Json rest;
  std::optional<Error> error;

  bool null() { return scalar(nullptr); }
  bool boolean(bool value) { return scalar(value); }
  bool number_float(double value, const std::string&) { return scalar(value); }
  bool binary(Json::binary_t&) { return fail(Errc::malformed, "a binary value"); }

  bool number_integer(std::int64_t value) {
    return part_ == Part::vocab ? token(value) : scalar(value);
  }
  bool number_unsigned(std::uint64_t value) {
    return part_ == Part::vocab ? token(static_cast<std::int64_t>(std::min<std::uint64_t>(
                                      value, static_cast<std::uint64_t>(INT64_MAX))))
                                : scalar(value);
  }
  bool string(std::string& value) {
    if (part_ == Part::merges) return merge_string(value);
    if (part_ == Part::merge_pair) {
      if (pair_size_ >= 2) return merge_form();
      pair_[pair_size_++] = std::move(value);
      return true;
    }
    return scalar(std::move(value));
  }

  bool start_object(std::size_t) {
    if (at("vocab") && part_ == Part::rest) {
      if (std::exchange(has_vocabulary, true)) return fail(Errc::malformed, "model.vocab twice");
      part_ = Part::vocab;
      return true;
    }
    return part_ == Part::rest ? open(Json::object()) : misplaced("an object");
  }
  bool end_object() {
    if (part_ == Part::vocab) {
      part_ = Part::rest;
      return true;
    }
    stack_.pop_back();
    return true;
  }
  bool key(std::string& value) {
    key_ = std::move(value);
    if (part_ == Part::rest && stack_.back()->contains(key_)) {
      return fail(Errc::malformed, "key \"" + key_ + "\" appears twice in one object");
    }
    return true;
  }
  bool start_array(std::size_t) {
    if (at("merges") && part_ == Part::rest) {
      if (std::exchange(has_merges, true)) return fail(Errc::malformed, "model.merges twice");
      part_ = Part::merges;
      return true;
    }
    if (part_ == Part::merges) {
      part_ = Part::merge_pair;
      pair_size_ = 0;
      return true;
    }
    return part_ == Part::rest ? open(Json::array()) : misplaced("an array");
  }
  bool end_array() {
    if (part_ == Part::merge_pair) {
      part_ = Part::merges;
      return pair_size_ == 2 ? merge(pair_[0], pair_[1]) : merge_form();
    }
    if (part_ == Part::merges) {
      part_ = Part::rest;
      return true;
    }
    stack_.pop_back();
    return true;
  }
  bool parse_error(std::size_t byte, const std::string&, const Json::exception& exception) {
    return fail(Errc::malformed, json_error_text(exception.what(), byte));
  }

 private:
  enum class Part { rest, vocab, merges, merge_pair };

  bool fail(Errc code, std::string detail) {
    error = Error{code, std::move(detail)};
    return false;
  }

  /// Whether the value that begins is `model.<name>`.
  bool at(std::string_view name) const {
    return stack_.size() == 2 && in_model_ && key_ == name && stack_.back()->is_object();
  }

  Json* place(Json value) {
    if (stack_.empty()) {
      rest = std::move(value);
      return &rest;
    }
    Json& parent = *stack_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    return &(parent[key_] = std::move(value));
  }

  bool open(Json container) {
    if (stack_.size() >= kDepthMax) return fail(Errc::malformed, "values nested too deeply");
    if (stack_.size() == 1) in_model_ = key_ == "model";
    stack_.push_back(place(std::move(container)));
    return true;
  }

  bool scalar(Json value) {
    if (part_ != Part::rest) return misplaced(value.type_name());
    place(std::move(value));
    return true;
  }

  bool misplaced(std::string_view what) {
    if (part_ != Part::vocab) return merge_form();
    return fail(Errc::malformed,
                "model.vocab[\"" + key_ + "\"] is " + std::string(what) + ", which is no token id");
  }

  bool token(std::int64_t id) {
    const auto added = vocabulary.add(key_, id);
    return added || fail(added.error().code, "model.vocab: " + added.error().detail);
  }

  std::string merge_place() const { return "model.merges[" + std::to_string(merges.size()) + "]"; }
  bool merge_form() {
    return fail(Errc::malformed,
                merge_place() + " is neither \"left right\" nor [\"left\", \"right\"]");
  }
  bool merge_string(const std::string& text) {
    const std::size_t space = text.find(' ');
    if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos) {
      return merge_form();
    }
    return merge(std::string_view(text).substr(0, space), std::string_view(text).substr(space + 1));
  }
  bool merge(std::string_view left, std::string_view right) {
    if (left.empty() || right.empty()) return merge_form();
    if (merges.size() >= kMergesMax) return fail(Errc::unsupported, "too many merges");
    merges.add(left, right);
    return true;
  }

  std::vector<Json*> stack_;  // open containers of `rest`
  std::string key_;
  bool in_model_ = false;
  Part part_ = Part::rest;
  std::string pair_[2];
  std::size_t pair_size_ = 0;
};

/// `object[key]`, or null when it is missing; `object` may be of any type.
const Json& field(const Json& object, const char* key) {
  static const Json kNull;
  if (!object.is_object()) return kNull;
  const auto found = object.find(key);
  return found == object.end() ? kNull : *found;
}

std::string type_of(const Json& object) {
  const Json& type = field(object, "type");
  return type.is_string() ? type.get_ref<const std::string&>() : "(no type)";
}

/// A flag; missing or null means `fallback`.
Expected<bool> flag(const Json& object, const char* key, bool fallback, const std::string& place) {
  const Json& value = field(object, key);
  if (value.is_null()) return fallback;
  if (!value.is_boolean()) return malformed(place + "." + key + " is not true or false");
  return value.get<bool>();
}

bool is_absent(const Json& value) {
  return value.is_null() || value == "" || value == false || (value.is_number() && value == 0);
}

Expected<void> read_model(const Json& model, TokenizerFile& file) {
  if (!model.is_object()) return malformed("model is missing or no object");
  if (type_of(model) != "BPE") {
    return unsupported("model.type \"" + type_of(model) + "\"; Troupe reads \"BPE\"");
  }
  for (const char* key :
       {"dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"}) {
    if (!is_absent(field(model, key))) {
      return unsupported(std::string("model.") + key + " = " + field(model, key).dump());
    }
  }
  const auto ignore_merges = flag(model, "ignore_merges", false, "model");
  if (!ignore_merges) return unexpected(ignore_merges.error());
  file.ignore_merges = *ignore_merges;
  return {};
}

Expected<void> read_normalizer(const Json& normalizer) {
  if (normalizer.is_null()) return {};
  const Json& steps = field(normalizer, "normalizers");
  if (type_of(normalizer) == "Sequence" && steps.is_array() && steps.empty()) return {};
  const bool nested = type_of(normalizer) == "Sequence" && steps.is_array();
  return unsupported("normalizer \"" + type_of(nested ? steps.front() : normalizer) + "\"");
}

Expected<void> read_split(const Json& step, const std::string& place, PreTokenizerSpec& spec) {
  if (field(step, "behavior") != "Isolated") {
    return unsupported(place + ".behavior " + field(step, "behavior").dump() +
                       "; Troupe does \"Isolated\"");
  }
  const auto invert = flag(step, "invert", false, place);
  if (!invert) return unexpected(invert.error());
  if (*invert) return unsupported(place + ".invert = true");
  const Json& regex = field(field(step, "pattern"), "Regex");
  const Json& literal = field(field(step, "pattern"), "String");
  if (literal.is_string() && !literal.get_ref<const std::string&>().empty()) {
    spec.patterns.push_back(literal_split_pattern(literal.get_ref<const std::string&>()));
    return {};
  }
  if (!regex.is_string()) return malformed(place + ".pattern is no {\"Regex\": text}");
  auto pattern = translate_split_pattern(regex.get_ref<const std::string&>());
  if (!pattern) return unexpected(pattern.error().code, place + ": " + pattern.error().detail);
  spec.patterns.push_back(*std::move(pattern));
  return {};
}

Expected<void> read_byte_level(const Json& step, const std::string& place, PreTokenizerSpec& spec) {
  const auto prefix = flag(step, "add_prefix_space", true, place);
  if (!prefix) return unexpected(prefix.error());
  const auto regex = flag(step, "use_regex", true, place);
  if (!regex) return unexpected(regex.error());
  spec.add_prefix_space = *prefix;
  spec.use_regex = *regex;
  return {};
}

Expected<void> read_pre_tokenizer(const Json& pre_tokenizer, PreTokenizerSpec& spec) {
  const bool sequence = type_of(pre_tokenizer) == "Sequence";
  const Json steps =
      sequence ? field(pre_tokenizer, "pretokenizers") : Json::array({pre_tokenizer});
  if (!steps.is_array()) return malformed("pre_tokenizer.pretokenizers is no array");
  bool byte_level = false;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const std::string place =
        sequence ? "pre_tokenizer.pretokenizers[" + std::to_string(i) + "]" : "pre_tokenizer";
    const std::string type = type_of(steps[i]);
    if (byte_level) return unsupported(place + " \"" + type + "\" after ByteLevel");
    if (type != "Split" && type != "ByteLevel") {
      return unsupported(place + " \"" + type + "\"; Troupe does Split and ByteLevel");
    }
    byte_level = type == "ByteLevel";
    const auto read =
        byte_level ? read_byte_level(steps[i], place, spec) : read_split(steps[i], place, spec);
    if (!read) return read;
  }
  if (!byte_level) return unsupported("a pre_tokenizer that does not end with ByteLevel");
  return {};
}

Expected<AddedToken> read_added_token(const Json& entry, const std::string& place) {
  const Json& content = field(entry, "content");
  const Json& id = field(entry, "id");
  if (!content.is_string() || content.get_ref<const std::string&>().empty()) {
    return malformed(place + " has no content");
  }
  if (!id.is_number_integer() || id < 0 || id >= Vocabulary::kIdEnd) {
    return malformed(place + ".id is no token id: " + id.dump());
  }
  for (const char* key : {"single_word", "lstrip", "rstrip"}) {
    const auto set = flag(entry, key, false, place);
    if (!set) return unexpected(set.error());
    if (*set) return unsupported(place + "." + key + " = true");
  }
  const auto special = flag(entry, "special", false, place);
  if (!special) return unexpected(special.error());
  const auto normalized = flag(entry, "normalized", !*special, place);
  if (!normalized) return unexpected(normalized.error());
  return AddedToken{content.get<std::string>(), id.get<std::int32_t>(), *special, *normalized};
}

Expected<void> read_added_tokens(const Json& entries, std::vector<AddedToken>& tokens) {
  if (entries.is_null()) return {};
  if (!entries.is_array()) return malformed("added_tokens is no array");
  for (std::size_t i = 0; i < entries.size(); ++i) {
    auto token = read_added_token(entries[i], "added_tokens[" + std::to_string(i) + "]");
    if (!token) return unexpected(token.error());
    tokens.push_back(*std::move(token));
  }
  return {};
}

/// Decoding is fixed: characters of tokens to bytes.
Expected<void> read_decoder(const Json& root) {
  if (type_of(field(root, "decoder")) != "ByteLevel") {
    return unsupported("decoder \"" + type_of(field(root, "decoder")) +
                       "\"; Troupe does \"ByteLevel\"");
  }
  return {};
}

}  // namespace

Expected<TokenizerFile> parse_tokenizer_file(std::string_view json) {
  Reader reader;
  if (!Json::sax_parse(json.begin(), json.end(), &reader)) {
    return unexpected(reader.error.value_or(Error{Errc::malformed, "not JSON"}));
  }
  const Json& root = reader.rest;
  if (!root.is_object()) return malformed("the file holds no JSON object");
  TokenizerFile file;
  if (auto read = read_model(field(root, "model"), file); !read) return unexpected(read.error());
  if (!reader.has_vocabulary) return malformed("model.vocab is missing or no object");
  if (!reader.has_merges) return malformed("model.merges is missing or no array");
  if (auto read = read_normalizer(field(root, "normalizer")); !read) {
    return unexpected(read.error());
  }
  if (auto read = read_pre_tokenizer(field(root, "pre_tokenizer"), file.pre_tokenizer); !read) {
    return unexpected(read.error());
  }
  if (auto read = read_added_tokens(field(root, "added_tokens"), file.added_tokens); !read) {
    return unexpected(read.error());
  }
  if (auto read = read_decoder(root); !read) return unexpected(read.error());
  file.vocabulary = std::move(reader.vocabulary);
  file.merges = std::move(reader.merges);
  return file;
}

}  // namespace troupe::model
