// Bpe: a linked list of symbols and a heap of candidate merges.
#include "model/tokenizer/bpe.hpp"

#include <algorithm>
#include <bit>
#include <cstdio>

#include "model/tokenizer/byte_alphabet.hpp"
#include "model/tokenizer/utf8.hpp"

namespace troupe::model {
namespace {

std::uint64_t pair_key(std::int32_t left, std::int32_t right) {
  return (static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32) |
         static_cast<std::uint32_t>(right);
}

/// Heap order: the lowest rank on top, of equal ranks the leftmost.
bool comes_later(const BpeScratch::Candidate& a, const BpeScratch::Candidate& b) {
  return a.rank != b.rank ? a.rank > b.rank : a.at > b.at;
}

Unexpected unknown_token(std::size_t rank, std::string_view text, std::string_view what) {
  return unexpected(Errc::malformed, "model.merges[" + std::to_string(rank) + "] " +
                                         std::string(what) + " \"" + std::string(text) +
                                         "\", which is not in model.vocab");
}

}  // namespace

void MergeList::add(std::string_view left, std::string_view right) {
  merges_.push_back({chars_.size(), left.size(), left.size() + right.size()});
  chars_ += left;
  chars_ += right;
}

std::string_view MergeList::left(std::size_t rank) const {
  return std::string_view(chars_).substr(merges_[rank].begin, merges_[rank].left_bytes);
}

std::string_view MergeList::right(std::size_t rank) const {
  return joined(rank).substr(merges_[rank].left_bytes);
}

std::string_view MergeList::joined(std::size_t rank) const {
  return std::string_view(chars_).substr(merges_[rank].begin, merges_[rank].bytes);
}

MergeTable::MergeTable(std::size_t merges) : slots_(std::bit_ceil(2 * merges + 2)) {}

std::size_t MergeTable::slot_of(std::uint64_t pair) const {
  const std::size_t mask = slots_.size() - 1;
  std::size_t slot = ((pair * 0x9e3779b97f4a7c15u) >> 32) & mask;  // Fibonacci hashing
  while (slots_[slot].pair != pair && slots_[slot].pair != kEmpty) slot = (slot + 1) & mask;
  return slot;
}

void MergeTable::set(std::int32_t left, std::int32_t right, Merge merge) {
  Slot& slot = slots_[slot_of(pair_key(left, right))];
  slot.pair = pair_key(left, right);
  slot.merge = merge;
}

const MergeTable::Merge* MergeTable::find(std::int32_t left, std::int32_t right) const {
  const Slot& slot = slots_[slot_of(pair_key(left, right))];
  return slot.pair == kEmpty ? nullptr : &slot.merge;
}

Expected<Bpe> Bpe::build(const Vocabulary& vocabulary, const MergeList& merges) {
  Bpe bpe(merges.size());
  for (int byte = 0; byte < 256; ++byte) {
    const std::string text = utf8_of(char_of_byte(static_cast<std::uint8_t>(byte)));
    const auto id = vocabulary.id_of(text);
    if (!id) {
      char hex[8];
      std::snprintf(hex, sizeof hex, "0x%02X", byte);
      return unexpected(Errc::malformed, "model.vocab has no token \"" + text + "\" for byte " +
                                             hex + "; a byte-level vocabulary holds all 256");
    }
    bpe.id_of_byte_[static_cast<std::size_t>(byte)] = *id;
  }
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const auto left = vocabulary.id_of(merges.left(rank));
    if (!left) return unknown_token(rank, merges.left(rank), "joins");
    const auto right = vocabulary.id_of(merges.right(rank));
    if (!right) return unknown_token(rank, merges.right(rank), "joins");
    const auto joined = vocabulary.id_of(merges.joined(rank));
    if (!joined) return unknown_token(rank, merges.joined(rank), "makes");
    bpe.merges_.set(*left, *right, {static_cast<std::int32_t>(rank), *joined});
  }
  return bpe;
}

void Bpe::add_candidate(BpeScratch& scratch, std::int32_t left, std::int32_t right) const {
  const auto* merge = merges_.find(scratch.symbols[static_cast<std::size_t>(left)].id,
                                   scratch.symbols[static_cast<std::size_t>(right)].id);
  if (merge != nullptr) scratch.heap.push_back({merge->rank, left, merge->id});
}

void Bpe::encode(std::string_view piece, BpeScratch& scratch,
                 std::vector<std::int32_t>& ids) const {
  auto& symbols = scratch.symbols;
  auto& heap = scratch.heap;
  symbols.clear();
  heap.clear();
  const auto count = static_cast<std::int32_t>(piece.size());
  for (std::int32_t i = 0; i < count; ++i) {
    const auto byte = static_cast<std::uint8_t>(piece[static_cast<std::size_t>(i)]);
    symbols.push_back({id_of_byte_[byte], i - 1, i + 1 < count ? i + 1 : -1});
  }
  for (std::int32_t i = 0; i + 1 < count; ++i) add_candidate(scratch, i, i + 1);
  std::make_heap(heap.begin(), heap.end(), comes_later);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), comes_later);
    const BpeScratch::Candidate top = heap.back();
    heap.pop_back();
    auto& symbol = symbols[static_cast<std::size_t>(top.at)];
    if (symbol.id < 0 || symbol.next < 0) continue;
    auto& right = symbols[static_cast<std::size_t>(symbol.next)];
    // Either neighbour may have changed since the candidate was made. Like Hugging Face we look at
    // the result only: another pair that makes the same token merges with this candidate's rank.
    const auto* merge = merges_.find(symbol.id, right.id);
    if (merge == nullptr || merge->id != top.id) continue;
    symbol.id = top.id;
    right.id = -1;
    symbol.next = right.next;
    const auto push = [&](std::int32_t a, std::int32_t b) {
      const std::size_t before = heap.size();
      add_candidate(scratch, a, b);
      if (heap.size() > before) std::push_heap(heap.begin(), heap.end(), comes_later);
    };
    if (symbol.previous >= 0) push(symbol.previous, top.at);
    if (symbol.next >= 0) {
      symbols[static_cast<std::size_t>(symbol.next)].previous = top.at;
      push(top.at, symbol.next);
    }
  }
  for (std::int32_t at = 0; at >= 0 && at < count;
       at = symbols[static_cast<std::size_t>(at)].next) {
    ids.push_back(symbols[static_cast<std::size_t>(at)].id);
  }
}

}  // namespace troupe::model
