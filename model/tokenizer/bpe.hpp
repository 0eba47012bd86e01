// Byte-pair encoding of one piece of text: merges by rank, lowest first, leftmost first.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/expected.hpp"
#include "model/tokenizer/vocabulary.hpp"

namespace troupe::model {

/// The merges as the file lists them, their texts in one arena. Rank = index.
class MergeList {
 public:
  void add(std::string_view left, std::string_view right);
  std::size_t size() const { return merges_.size(); }
  std::string_view left(std::size_t rank) const;
  std::string_view right(std::size_t rank) const;
  /// left + right, which lie beside each other.
  std::string_view joined(std::size_t rank) const;

 private:
  struct Span {
    std::size_t begin;
    std::size_t left_bytes;
    std::size_t bytes;
  };
  std::string chars_;
  std::vector<Span> merges_;
};

/// (left id, right id) -> the merge of the two. Open addressing: one cache line per probe.
class MergeTable {
 public:
  struct Merge {
    std::int32_t rank = 0;
    std::int32_t id = 0;
  };
  explicit MergeTable(std::size_t merges);
  /// A pair that is there already takes the new rank, as Hugging Face's loader does.
  void set(std::int32_t left, std::int32_t right, Merge merge);
  /// Null when the two do not merge.
  const Merge* find(std::int32_t left, std::int32_t right) const;

 private:
  struct Slot {
    std::uint64_t pair = kEmpty;
    Merge merge;
  };
  static constexpr std::uint64_t kEmpty = ~std::uint64_t{0};
  std::size_t slot_of(std::uint64_t pair) const;
  std::vector<Slot> slots_;
};

/// What one call of `Bpe::encode` writes into; kept between calls so that they do not allocate.
struct BpeScratch {
  struct Symbol {
    std::int32_t id;  // -1: merged into the one before
    std::int32_t previous;
    std::int32_t next;  // -1: the last
  };
  struct Candidate {
    std::int32_t rank;
    std::int32_t at;
    std::int32_t id;  // what the two become
  };
  std::vector<Symbol> symbols;
  std::vector<Candidate> heap;
};

/// Time O(n log n) in the bytes of a piece. Threading: const calls from any thread, each with its
/// own scratch. Source: spec 7.1; ties and stale candidates as in Hugging Face `tokenizers`.
class Bpe {
 public:
  /// Errors: malformed for a byte without a token or a merge that names an unknown token.
  static Expected<Bpe> build(const Vocabulary& vocabulary, const MergeList& merges);

  /// Appends the ids of `piece`, any bytes, at most 2^31 - 1 of them.
  void encode(std::string_view piece, BpeScratch& scratch, std::vector<std::int32_t>& ids) const;

 private:
  explicit Bpe(std::size_t merges) : merges_(merges) {}
  void add_candidate(BpeScratch& scratch, std::int32_t left, std::int32_t right) const;

  std::array<std::int32_t, 256> id_of_byte_{};
  MergeTable merges_;
};

}  // namespace troupe::model
