// Encoding and decoding: round trips, every truncation, every corrupted header field, every bound.
#include "proto/frames/codec.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

#include "tests/support/frame_samples.hpp"

namespace troupe::proto {
namespace {

using testing::encoded;
using testing::encoded_samples;
using testing::FrameSamples;

/// `bytes` with a value of type T written over them.
template <class T>
std::vector<std::byte> patched(std::vector<std::byte> bytes, std::size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
  return bytes;
}

MalformedReason reason_of(std::span<const std::byte> bytes) {
  const auto decoded = decode(bytes);
  EXPECT_FALSE(decoded) << "the bytes were accepted";
  return decoded ? MalformedReason{} : decoded.malformed().reason;
}

/// The body of a frame that must be well-formed; looks into `bytes`.
template <class X>
X body_of(std::span<const std::byte> bytes) {
  const auto decoded = decode(bytes);
  EXPECT_TRUE(decoded);
  return std::get<X>(decoded.frame().body);
}

/// Offset of the fixed part in a frame.
constexpr std::size_t kFixed = kHeaderBytes;

TEST(FrameCodec, EveryKindSurvivesARoundTrip) {
  FrameSamples().for_each([](const char* name, const auto& body) {
    using X = std::remove_cvref_t<decltype(body)>;
    const auto bytes = encoded(body);
    const auto decoded = decode(bytes);
    ASSERT_TRUE(decoded) << name << ": " << decoded.malformed().text;
    FrameHeader expected = testing::sample_header();
    expected.kind = static_cast<std::uint16_t>(kKindOf<X>);
    expected.total_bytes = static_cast<std::uint32_t>(bytes.size());
    EXPECT_EQ(decoded.frame().header, expected) << name;
    const X* again = std::get_if<X>(&decoded.frame().body);
    ASSERT_NE(again, nullptr) << name;
    EXPECT_EQ(encoded(*again), bytes) << name;
    EXPECT_EQ(to_string(kKindOf<X>), name);
  });
}

TEST(FrameCodec, FieldsComeOutAsTheyWentIn) {
  const FrameSamples samples;
  const auto submit_bytes = encoded(samples.submit());
  const auto submit = body_of<Submit>(submit_bytes);
  EXPECT_EQ(submit.request_id, "req-7");
  EXPECT_EQ(submit.token_ids.to_vector(), samples.token_ids);
  EXPECT_EQ(submit.sampling.logit_bias.to_vector(), samples.biases);
  EXPECT_EQ(submit.sampling.repetition_penalty, 1.5f);
  EXPECT_EQ(submit.sampling.top_k, 40);
  EXPECT_EQ(submit.stop_ids[0], 1);
  const auto reply_bytes = encoded(samples.expert_reply());
  const auto reply = body_of<ExpertReply>(reply_bytes);
  EXPECT_EQ(reply.newest_term, 7u);
  EXPECT_EQ(reply.newest_epoch, 8u);
  EXPECT_EQ(reply.pairs.to_vector(), samples.reply_pairs);
  EXPECT_EQ(reply.rows.rows, 1u);
  EXPECT_TRUE(std::ranges::equal(reply.rows.data, samples.expert_reply().rows.data));
}

TEST(FrameCodec, RowsStartAtAMultipleOf64) {
  for (const auto& sample : encoded_samples()) {
    const auto decoded = decode(sample.bytes);
    const auto at = [&](std::span<const std::byte> data) {
      return static_cast<std::size_t>(data.data() - sample.bytes.data());
    };
    if (const auto* rows = std::get_if<Rows>(&decoded.frame().body)) {
      EXPECT_EQ(at(rows->rows.data) % kRowAlignment, 0u);
    }
    if (const auto* logits = std::get_if<Logits>(&decoded.frame().body)) {
      EXPECT_EQ(at(logits->data) % kRowAlignment, 0u);
    }
  }
}

TEST(FrameCodec, HeadAndRowsAddUpToTheFrame) {
  const FrameSamples samples;
  const Rows rows = samples.rows_frame();
  std::vector<std::byte> bytes(head_bytes(rows));
  encode_head(testing::sample_header(), rows, bytes);
  bytes.insert(bytes.end(), rows.rows.data.begin(), rows.rows.data.end());
  EXPECT_EQ(bytes, encoded(rows));
  Logits logits = samples.logits();
  logits.data = {};
  EXPECT_EQ(head_bytes(logits) + 32, encoded(samples.logits()).size());
}

TEST(FrameCodec, ReadsAtAnyAlignment) {
  for (const auto& sample : encoded_samples()) {
    std::vector<std::byte> shifted(sample.bytes.size() + 1);
    std::ranges::copy(sample.bytes, shifted.begin() + 1);
    EXPECT_TRUE(decode(std::span<const std::byte>(shifted).subspan(1))) << sample.name;
  }
}

TEST(FrameCodec, RefusesEveryTruncation) {
  for (const auto& sample : encoded_samples()) {
    for (std::size_t length = 0; length < sample.bytes.size(); ++length) {
      // A heap copy of exactly this length, so that ASan sees a read past it.
      std::vector<std::byte> cut(sample.bytes.begin(), sample.bytes.begin() + length);
      EXPECT_FALSE(decode(cut)) << sample.name << " cut to " << length;
      if (length < kHeaderBytes) continue;
      const auto honest = patched(cut, 8, static_cast<std::uint32_t>(length));
      const auto decoded = decode(honest);
      EXPECT_FALSE(decoded) << sample.name << " cut to " << length << " with the length mended";
    }
  }
}

TEST(FrameCodec, RefusesBytesThatAreLeftOver) {
  for (const auto& sample : encoded_samples()) {
    auto longer = sample.bytes;
    longer.push_back(std::byte{0});
    EXPECT_EQ(reason_of(longer), MalformedReason::length) << sample.name;
    const auto mended = patched(longer, 8, static_cast<std::uint32_t>(longer.size()));
    EXPECT_EQ(reason_of(mended), MalformedReason::length) << sample.name;
  }
}

TEST(FrameCodec, NamesTheCorruptedHeaderField) {
  const auto good = encoded(FrameSamples().lease());
  EXPECT_EQ(reason_of(patched(good, 0, std::uint8_t{'X'})), MalformedReason::magic);
  EXPECT_EQ(reason_of(patched(good, 4, std::uint16_t{0})), MalformedReason::version);
  EXPECT_EQ(reason_of(patched(good, 4, std::uint16_t{2})), MalformedReason::version);
  EXPECT_EQ(reason_of(patched(good, 6, std::uint16_t{0})), MalformedReason::kind);
  EXPECT_EQ(reason_of(patched(good, 6, std::uint16_t{15})), MalformedReason::kind);
  EXPECT_EQ(reason_of(patched(good, 8, std::uint32_t{1})), MalformedReason::length);
  EXPECT_EQ(reason_of(patched(good, 12, std::uint16_t{2})), MalformedReason::lane);
  EXPECT_EQ(reason_of(patched(good, 14, std::uint16_t{1})), MalformedReason::reserved);
}

TEST(FrameCodec, NamesBothVersionsOfAForeignFrame) {
  const auto decoded = decode(patched(encoded(FrameSamples().cancel()), 4, std::uint16_t{77}));
  ASSERT_FALSE(decoded);
  EXPECT_NE(decoded.malformed().text.find("77"), std::string::npos);
  EXPECT_NE(decoded.malformed().text.find("speaks 1 to 1"), std::string::npos);
}

TEST(FrameCodec, AnyChangedIdentityByteStaysAFrameWithAnotherIdentity) {
  const auto good = encoded(FrameSamples().lease());
  const auto decoded_good = decode(good);
  const FrameHeader original = decoded_good.frame().header;
  for (std::size_t at = 16; at < kHeaderBytes; ++at) {
    auto bytes = good;
    bytes[at] ^= std::byte{0x40};
    const auto decoded = decode(bytes);
    ASSERT_TRUE(decoded) << "byte " << at;
    EXPECT_NE(decoded.frame().header, original) << "byte " << at;
  }
}

TEST(FrameCodec, ChecksAHeaderBeforeTheRestArrives) {
  const auto good = encoded(FrameSamples().lease());
  FrameHeader header;
  const auto first = std::span<const std::byte>(good).first(kHeaderBytes);
  EXPECT_FALSE(check_header(first, good.size(), header));
  EXPECT_EQ(header.work_id, testing::sample_header().work_id);
  EXPECT_EQ(check_header(first, good.size() + 1, header)->reason, MalformedReason::length);
  EXPECT_EQ(check_header(first.first(79), good.size(), header)->reason, MalformedReason::too_short);
  const auto huge = patched(good, 8, std::uint32_t{kFrameBytesMax + 1});
  EXPECT_EQ(check_header(huge, std::size_t{kFrameBytesMax} + 1, header)->reason,
            MalformedReason::length);
}

TEST(FrameCodec, RefusesReservedBytesAndPadding) {
  const FrameSamples samples;
  EXPECT_EQ(reason_of(patched(encoded(samples.rows_frame()), kFixed + 14, std::uint16_t{1})),
            MalformedReason::reserved);
  // 80 + 16 bytes, then padding up to 128.
  for (std::size_t at = 96; at < 128; ++at) {
    EXPECT_EQ(reason_of(patched(encoded(samples.rows_frame()), at, std::uint8_t{1})),
              MalformedReason::reserved);
  }
}

struct Change {
  const char* what;
  std::size_t at;  // in the fixed part
  std::uint32_t value;
  MalformedReason reason;
};

void expect_refused(const std::vector<std::byte>& good, std::initializer_list<Change> changes) {
  for (const Change& change : changes) {
    EXPECT_EQ(reason_of(patched(good, kFixed + change.at, change.value)), change.reason)
        << change.what;
  }
}

TEST(FrameCodec, CarriesListsOfIds) {
  const FrameSamples samples;
  const auto bytes = encoded(samples.bounded_submit());
  const auto submit = body_of<Submit>(bytes);
  EXPECT_EQ(submit.allowed_ids.to_vector(), samples.allowed_ids);
  EXPECT_EQ(submit.bad_words.to_vector(), samples.bad_words);
  EXPECT_EQ(submit.stop_ids.to_vector(), samples.stop_ids);
  EXPECT_EQ(submit.grammar_text, "[0-9]+");
}

TEST(FrameCodec, CarriesRanksOfPromptTokens) {
  const FrameSamples samples;
  const auto bytes = encoded(samples.ranked_prompt_logprobs());
  const auto body = body_of<PromptLogprobs>(bytes);
  EXPECT_EQ(body.ranks.to_vector(), samples.ranks);
  EXPECT_EQ(body.entries.to_vector(), std::vector(samples.top.begin(), samples.top.begin() + 2));
  EXPECT_EQ(body.top.to_vector(), samples.top);
}

TEST(FrameCodec, RefusesCountsPastTheirBounds) {
  using enum MalformedReason;
  const FrameSamples samples;
  expect_refused(encoded(samples.rows_frame()), {{"no rows", 4, 0, bound},
                                                 {"a row more", 4, kRowsMax + 1, bound},
                                                 {"4 billion rows", 4, 0xffffffff, bound},
                                                 {"no width", 8, 0, bound},
                                                 {"too wide", 8, kWidthMax + 1, bound},
                                                 {"more rows than came", 4, 3, too_short},
                                                 {"unknown dtype", 12, 3, value}});
  expect_refused(encoded(samples.expert_rows()), {{"too many pairs", 16, kPairsMax + 1, bound},
                                                  {"a row more", 4, kRowsMax + 1, bound}});
  expect_refused(encoded(samples.expert_reply()), {{"too many pairs", 32, kPairsMax + 1, bound},
                                                   {"too many rows", 20, kPairsMax + 1, bound}});
  expect_refused(encoded(samples.logits()), {{"too many rows", 0, kRowsMax + 1, bound},
                                             {"vocabulary", 4, kVocabMax + 1, bound},
                                             {"huge", 4, kVocabMax, too_short},
                                             {"source 0", 8, 0, value},
                                             {"source 4", 8, 4, value}});
  expect_refused(encoded(samples.lease()), {{"too many leases", 8, kLeasesMax + 1, bound},
                                            {"4 billion", 8, 0xffffffff, bound}});
  expect_refused(encoded(samples.submit()),
                 {{"too many tokens", 68, kSubmitTokensMax + 1, bound},
                  {"too many biases", 72, kLogitBiasMax + 1, bound},
                  {"too many stop ids", 76, (5u << 16) | (kStopIdsMax + 1), bound},
                  {"request id too long", 76, (65u << 16) | 1, bound},
                  {"no request id", 76, 1, length},
                  {"grammar too long", 108, kGrammarBytesMax + 1, bound},
                  {"too many allowed ids", 116, kAllowedIdsMax + 1, bound}});
  expect_refused(encoded(samples.tokens()), {{"too many tokens", 0, kTokensMax + 1, bound},
                                             {"alternatives", 4, (4u << 16) | 21, bound},
                                             {"finish reason", 4, (5u << 16) | 2, value},
                                             {"long detail", 8, (513u << 16) | 9, bound}});
  expect_refused(encoded(samples.failed()), {{"long detail", 0, (513u << 16) | 8, bound}});
  expect_refused(encoded(samples.prompt_logprobs()),
                 {{"too many positions", 4, kTokensMax + 1, bound},
                  {"more positions than came", 4, 3, too_short},
                  {"alternatives", 8, 21, bound}});
}

TEST(FrameCodec, RefusesValuesWithoutMeaning) {
  using enum MalformedReason;
  const FrameSamples samples;
  expect_refused(encoded(samples.hello()), {{"role 0", 0, 1u << 16, value},
                                            {"role 5", 0, (1u << 16) | 5, value},
                                            {"min 0", 0, 4, value},
                                            {"max below min", 2, 2, value}});
  expect_refused(encoded(samples.submit()), {{"no prompt", 64, 0, value},
                                             {"prompt longer than all", 64, 4, value},
                                             {"unknown flag", 56, 16, value},
                                             {"logprobs 21", 60, 21, value},
                                             {"logprobs -2", 60, 0xfffffffe, value},
                                             {"temperature NaN", 8, 0x7fc00000, value},
                                             {"temperature < 0", 8, 0xbf800000, value},
                                             {"top_p 2", 12, 0x40000000, value},
                                             {"min_p NaN", 16, 0x7fc00000, value},
                                             {"frequency inf", 20, 0x7f800000, value},
                                             {"presence inf", 24, 0xff800000, value},
                                             {"repetition 0", 28, 0, value},
                                             {"top_k -1", 32, 0xffffffff, value},
                                             {"choice 4 of 4", 36, 4, value},
                                             {"no choices", 96, 0, value},
                                             {"129 choices", 96, 129, value},
                                             {"prompt_logprobs 21", 100, 21, value},
                                             {"prompt_logprobs -2", 100, 0xfffffffe, value},
                                             {"grammar 5", 104, 5, value},
                                             {"json_object with a text", 104, 1, value},
                                             {"no grammar with a text", 104, 0, value},
                                             {"grammar_after -2", 112, 0xfffffffe, value}});
  expect_refused(encoded(samples.prompt_logprobs()), {{"position 0", 0, 0, value},
                                                      {"no positions", 4, 0, length},
                                                      {"ranks", 8, (2u << 16) | 2, too_short}});
  constexpr std::size_t kRanks = 12 + 2 * 8 + 4 * 8;  // behind entries and alternatives
  expect_refused(encoded(samples.ranked_prompt_logprobs()),
                 {{"fewer ranks than positions", 8, (1u << 16) | 2, length},
                  {"rank 0", kRanks, 0, value},
                  {"rank past all ids", kRanks + 4, kVocabMax + 1, value}});
  PromptLogprobs uneven = samples.ranked_prompt_logprobs();
  uneven.ranks = std::span(samples.ranks).first(1);
  EXPECT_EQ(find_fault(uneven)->reason, value) << "one rank for two positions";
  Submit wordless = samples.submit();
  wordless.grammar_text = {};
  EXPECT_FALSE(find_fault(wordless)) << "the expression of the empty answer";
  for (const auto kind : {GrammarKind::json_schema, GrammarKind::tool_calls}) {
    wordless.grammar = kind;
    EXPECT_EQ(find_fault(wordless)->reason, value) << static_cast<int>(kind);
  }
}

TEST(FrameCodec, RefusesPairsOutOfOrderOrRange) {
  using enum MalformedReason;
  // Three pairs of 8 bytes behind a fixed part of 24: (1,4), (0,9), (1,9) as (row, expert).
  expect_refused(encoded(FrameSamples().expert_rows()),
                 {{"row past the rows", 24, 2, bound},
                  {"expert past the limit", 24 + 4, kExpertsMax, bound},
                  {"twice the same pair", 24 + 16, 0, order},
                  {"experts descend", 24 + 4, 10, order}});
}

TEST(FrameCodec, RepliesCarryOneRowForEachPairThatIsOk) {
  using enum MalformedReason;
  const FrameSamples samples;
  // Pairs of 12 bytes behind a fixed part of 40; the status is at byte 8 of each.
  expect_refused(encoded(samples.expert_reply()), {{"one more ok", 40 + 12 + 8, 0, value},
                                                   {"none ok", 40 + 8, 1, value},
                                                   {"unknown status", 40 + 8, 3, value},
                                                   {"reserved", 40 + 8, 1u << 16, reserved}});
  ExpertReply none = samples.expert_reply();
  std::vector<ReplyPair> pairs{{0, 2, 2, 0}};
  none.pairs = pairs;
  none.rows = samples.rows(0, 4, WireDtype::f32);
  const auto bytes = encoded(none);
  EXPECT_TRUE(decode(bytes)) << "an answer without any row";
}

TEST(FrameCodec, FindsFaultsBeforeEncoding) {
  const FrameSamples samples;
  EXPECT_FALSE(find_fault(samples.submit()));
  Submit submit = samples.submit();
  const std::string id(65, 'x');
  submit.request_id = id;
  EXPECT_EQ(find_fault(submit)->reason, MalformedReason::bound);
  submit.request_id = "";
  EXPECT_EQ(find_fault(submit)->reason, MalformedReason::value);
  Rows rows = samples.rows_frame();
  rows.rows.data = rows.rows.data.first(3);
  EXPECT_EQ(find_fault(rows)->reason, MalformedReason::length);
  Logits logits = samples.logits();
  const std::vector<std::uint32_t> many(256);
  logits.positions = many;
  logits.vocab = kVocabMax;
  EXPECT_TRUE(find_fault(logits)) << "more than a frame can hold";
}

TEST(FrameCodecDeathTest, EncodingWhatHasAFaultEndsTheProcess) {
  const Submit empty;
  std::vector<std::byte> bytes(encoded_bytes(empty));
  EXPECT_DEATH(encode({}, empty, bytes), "encode of a submit frame");
  const Cancel cancel;
  EXPECT_DEATH(encode({}, cancel, std::span(bytes).first(3)), "bytes of room");
}

TEST(FrameCodec, CutsLongDetailsBetweenCharacters) {
  std::string detail(kDetailBytesMax - 1, 'x');
  detail += "\xc3\xa4 and more";  // the two-byte character would straddle the limit
  const Failed failed{8, 0, detail};
  const auto bytes = encoded(failed);
  EXPECT_EQ(body_of<Failed>(bytes).detail, detail.substr(0, kDetailBytesMax - 1));
  EXPECT_EQ(clip_detail("short"), "short");
}

TEST(FrameCodec, MeasuresRowBlocks) {
  EXPECT_EQ(row_block_bytes(3, 5, WireDtype::f32), 60u);
  EXPECT_EQ(row_block_bytes(3, 5, WireDtype::bf16), 30u);
  // 15 codes, one zero, then 3 scales.
  EXPECT_EQ(row_block_bytes(3, 5, WireDtype::e4m3_block128), 16u + 12u);
  EXPECT_EQ(scales_offset(3, 5), 16u);
  // A V3 row: 7168 codes and 56 scales.
  EXPECT_EQ(row_block_bytes(1, 7168, WireDtype::e4m3_block128), 7168u + 224u);
}

TEST(ChooseVersion, TakesTheHighestThatBothKnow) {
  EXPECT_EQ(std::get<std::uint16_t>(choose_version({1, 2}, {2, 3})), 2);
  EXPECT_EQ(std::get<std::uint16_t>(choose_version({1, 1}, {1, 1})), 1);
  EXPECT_EQ(std::get<std::uint16_t>(choose_version({2, 3}, {2, 3})), 3);
}

TEST(ChooseVersion, RefusesWithBothRanges) {
  for (const auto& result : {choose_version({1, 2}, {3, 4}), choose_version({3, 4}, {1, 2})}) {
    const auto* fault = std::get_if<Malformed>(&result);
    ASSERT_NE(fault, nullptr);
    EXPECT_EQ(fault->reason, MalformedReason::version);
    EXPECT_NE(fault->text.find("1 to 2"), std::string::npos);
    EXPECT_NE(fault->text.find("3 to 4"), std::string::npos);
  }
}

}  // namespace
}  // namespace troupe::proto
