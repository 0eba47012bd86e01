// Reads tokenizer.json of Hugging Face into what Troupe's tokenizer is built from.
#pragma once
#include <string_view>
#include <vector>

#include "core/expected.hpp"
#include "model/tokenizer/added_tokens.hpp"
#include "model/tokenizer/bpe.hpp"
#include "model/tokenizer/pre_tokenizer.hpp"
#include "model/tokenizer/vocabulary.hpp"

namespace troupe::model {

struct TokenizerFile {
  Vocabulary vocabulary;  // of the model; added tokens are apart
  MergeList merges;
  bool ignore_merges = false;  // a piece that is a token is that token
  std::vector<AddedToken> added_tokens;
  PreTokenizerSpec pre_tokenizer;
};

/// Taken: model BPE over bytes (merges as "a b" or ["a", "b"]), no normaliser, pre-tokenizer
/// ByteLevel after any number of Split steps (Isolated, not inverted), decoder ByteLevel.
/// `truncation` and `padding` are settings of a batch, and the post-processor only adds BOS and EOS
/// (or offsets): they are not applied; see TokenizerConfig::add_bos_token. Errors: unsupported
/// names what is not taken; malformed names the place. Source: spec 7.1.
Expected<TokenizerFile> parse_tokenizer_file(std::string_view json);

}  // namespace troupe::model
