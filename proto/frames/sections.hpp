// What follows each body's fixed part, said once for measuring, checking, writing and reading.
// Internal to proto/frames.
//
// `sections(archive, x, fixed)` visits the variable parts of `x` in wire order. A reading archive
// takes the counts from `fixed`; the others take them from `x`. Limits stand here and only here.
#pragma once
#include <cstddef>
#include <cstdint>

#include "proto/frames/bodies.hpp"
#include "proto/frames/codec.hpp"
#include "proto/frames/layout.hpp"

namespace troupe::proto::detail {

template <class X>
struct LayoutOf;
template <>
struct LayoutOf<Hello> {
  using type = layout::Hello;
};
template <>
struct LayoutOf<HelloAck> {
  using type = layout::Hello;
};
template <>
struct LayoutOf<Goodbye> {
  using type = layout::Goodbye;
};
template <>
struct LayoutOf<Submit> {
  using type = layout::Submit;
};
template <>
struct LayoutOf<Cancel> {
  using type = layout::Cancel;
};
template <>
struct LayoutOf<Lease> {
  using type = layout::Lease;
};
template <>
struct LayoutOf<Tokens> {
  using type = layout::Tokens;
};
template <>
struct LayoutOf<Rows> {
  using type = layout::Rows;
};
template <>
struct LayoutOf<Combined> {
  using type = layout::Rows;
};
template <>
struct LayoutOf<ExpertRows> {
  using type = layout::ExpertRows;
};
template <>
struct LayoutOf<ExpertReply> {
  using type = layout::ExpertReply;
};
template <>
struct LayoutOf<Logits> {
  using type = layout::Logits;
};
template <>
struct LayoutOf<Failed> {
  using type = layout::Failed;
};
template <>
struct LayoutOf<PromptLogprobs> {
  using type = layout::PromptLogprobs;
};

// The fixed part of a body to send, and back into a body that was received.
layout::Hello to_layout(const Hello& x);
layout::Goodbye to_layout(const Goodbye& x);
layout::Submit to_layout(const Submit& x);
layout::Cancel to_layout(const Cancel& x);
layout::Lease to_layout(const Lease& x);
layout::Tokens to_layout(const Tokens& x);
layout::Rows to_layout(const Rows& x);
layout::Rows to_layout(const Combined& x);
layout::ExpertRows to_layout(const ExpertRows& x);
layout::ExpertReply to_layout(const ExpertReply& x);
layout::Logits to_layout(const Logits& x);
layout::Failed to_layout(const Failed& x);
layout::PromptLogprobs to_layout(const PromptLogprobs& x);
void from_layout(const layout::Hello& f, Hello& x);
void from_layout(const layout::Goodbye& f, Goodbye& x);
void from_layout(const layout::Submit& f, Submit& x);
void from_layout(const layout::Cancel& f, Cancel& x);
void from_layout(const layout::Lease& f, Lease& x);
void from_layout(const layout::Tokens& f, Tokens& x);
void from_layout(const layout::Rows& f, Rows& x);
void from_layout(const layout::Rows& f, Combined& x);
void from_layout(const layout::ExpertRows& f, ExpertRows& x);
void from_layout(const layout::ExpertReply& f, ExpertReply& x);
void from_layout(const layout::Logits& f, Logits& x);
void from_layout(const layout::Failed& f, Failed& x);
void from_layout(const layout::PromptLogprobs& f, PromptLogprobs& x);

/// False when a reserved field is not 0.
bool reserved_is_zero(const layout::Hello& f);
bool reserved_is_zero(const layout::Goodbye& f);
bool reserved_is_zero(const layout::Submit& f);
bool reserved_is_zero(const layout::Cancel& f);
bool reserved_is_zero(const layout::Lease& f);
bool reserved_is_zero(const layout::Tokens& f);
bool reserved_is_zero(const layout::Rows& f);
bool reserved_is_zero(const layout::ExpertRows& f);
bool reserved_is_zero(const layout::ExpertReply& f);
bool reserved_is_zero(const layout::Logits& f);
bool reserved_is_zero(const layout::Failed& f);
bool reserved_is_zero(const layout::PromptLogprobs& f);

/// Enumerators, flags, numbers and order, once all counts are known to be in bounds.
std::optional<Malformed> find_value_fault(const Hello& x);
std::optional<Malformed> find_value_fault(const Goodbye& x);
std::optional<Malformed> find_value_fault(const Submit& x);
std::optional<Malformed> find_value_fault(const Cancel& x);
std::optional<Malformed> find_value_fault(const Lease& x);
std::optional<Malformed> find_value_fault(const Tokens& x);
std::optional<Malformed> find_value_fault(const Rows& x);
std::optional<Malformed> find_value_fault(const Combined& x);
std::optional<Malformed> find_value_fault(const ExpertRows& x);
std::optional<Malformed> find_value_fault(const ExpertReply& x);
std::optional<Malformed> find_value_fault(const Logits& x);
std::optional<Malformed> find_value_fault(const Failed& x);
std::optional<Malformed> find_value_fault(const PromptLogprobs& x);

/// Dtype, row count and width; not the bytes.
std::optional<Malformed> find_row_block_fault(const RowBlock& x, std::uint32_t rows_min,
                                              std::uint32_t rows_max);

template <class A, class X>
void sections(A&, X&, const layout::Hello&) {}
template <class A, class X>
void sections(A&, X&, const layout::Cancel&) {}
template <class A, class X>
void sections(A& a, X& x, const layout::Goodbye& f) {
  a.detail(x.detail, f.detail_bytes);
}
template <class A, class X>
void sections(A& a, X& x, const layout::Failed& f) {
  a.detail(x.detail, f.detail_bytes);
}
template <class A, class X>
void sections(A& a, X& x, const layout::Lease& f) {
  a.array(x.work_ids, f.count, kLeasesMax, "leased work ids");
}
template <class A, class X>
void sections(A& a, X& x, const layout::Submit& f) {
  a.array(x.token_ids, f.token_count, kSubmitTokensMax, "token ids");
  a.array(x.sampling.logit_bias, f.logit_bias_count, kLogitBiasMax, "logit biases");
  a.array(x.stop_ids, f.stop_count, kStopIdsMax, "stop ids");
  a.array(x.allowed_ids, f.allowed_count, kAllowedIdsMax, "allowed ids");
  a.array(x.bad_words, f.bad_word_count, kBadWordIdsMax, "ids of bad words");
  a.text(x.request_id, f.request_id_bytes, kRequestIdBytesMax, "request id bytes");
  a.text(x.grammar_text, f.grammar_bytes, kGrammarBytesMax, "grammar bytes");
}
template <class A, class X>
void sections(A& a, X& x, const layout::Tokens& f) {
  a.array(x.entries, f.count, kTokensMax, "tokens");
  a.bound(x.top_count, kTopLogprobsMax, "alternatives of a token");
  a.array(x.top, std::size_t{f.count} * f.top_count, std::size_t{kTokensMax} * kTopLogprobsMax,
          "alternatives");
  a.detail(x.detail, f.detail_bytes);
}
template <class A, class X>
void sections(A& a, X& x, const layout::PromptLogprobs& f) {
  a.array(x.entries, f.count, kTokensMax, "prompt positions");
  a.bound(x.top_count, kTopLogprobsMax, "alternatives of a token");
  a.array(x.top, std::size_t{f.count} * f.top_count, std::size_t{kTokensMax} * kTopLogprobsMax,
          "alternatives");
  a.array(x.ranks, f.rank_count, kTokensMax, "ranks");
}
template <class A, class X>
void sections(A& a, X& x, const layout::Rows&) {
  a.rows(x.rows, 1, kRowsMax);
}
template <class A, class X>
void sections(A& a, X& x, const layout::ExpertRows& f) {
  a.array(x.pairs, f.pairs, kPairsMax, "pairs");
  a.rows(x.rows, 1, kRowsMax);
}
template <class A, class X>
void sections(A& a, X& x, const layout::ExpertReply& f) {
  a.array(x.pairs, f.pairs, kPairsMax, "pairs");
  a.rows(x.rows, 0, kPairsMax);
}
template <class A, class X>
void sections(A& a, X& x, const layout::Logits& f) {
  a.array(x.positions, f.rows, kRowsMax, "logit rows");
  a.bound(x.vocab, kVocabMax, "logits of a row");
  a.data(x.data, std::size_t{4} * f.rows * f.vocab);
}

}  // namespace troupe::proto::detail
