// Pieces of an answer joined are the answer, and never half a character.
#include "services/gateway/answer_assembler.hpp"

#include <gtest/gtest.h>

#include "model/tokenizer/utf8.hpp"
#include "tests/unit/services/gateway/tiny_model.hpp"

namespace troupe::services {
namespace {

const model::Tokenizer& tokenizer() { return *tiny_model().tokenizer; }

AnswerForm form() {
  AnswerForm form;
  form.tokenizer = &tokenizer();
  return form;
}

std::vector<std::int32_t> ids_of(std::string_view text) { return tokenizer().encode(text).value(); }

/// Every token a piece of its own.
std::vector<AnswerPiece> pieces(AnswerAssembler& assembler, const std::vector<std::int32_t>& ids) {
  std::vector<AnswerPiece> out;
  for (const auto id : ids) {
    out.emplace_back();
    assembler.push({0, id, -0.5f, {}}, out.back());
  }
  out.emplace_back();
  assembler.finish(out.back());
  return out;
}

std::string joined(const std::vector<AnswerPiece>& pieces) {
  AnswerPiece whole;
  for (const auto& piece : pieces) whole.append(piece);
  return whole.text;
}

TEST(AnswerAssembler, PiecesOfTextAreWholeCharacters) {
  const std::string text = "naïve 🦔 漢字 — end";
  AnswerAssembler assembler(form());
  const auto parts = pieces(assembler, ids_of(text));
  for (const auto& part : parts) EXPECT_EQ(model::first_invalid_utf8(part.text), std::nullopt);
  EXPECT_EQ(joined(parts), text);
}

TEST(AnswerAssembler, AnUnfinishedCharacterIsReplacedAtTheEnd) {
  auto ids = ids_of("🦔");
  ASSERT_GT(ids.size(), 1u);
  ids.pop_back();
  AnswerAssembler assembler(form());
  EXPECT_EQ(joined(pieces(assembler, ids)), "\uFFFD");
}

TEST(AnswerAssembler, SilentIdsCountAndShowNoText) {
  auto ids = ids_of("one two");
  AnswerForm with = form();
  with.silent_ids = {ids.back()};
  AnswerAssembler assembler(with);
  const auto parts = pieces(assembler, ids);
  ids.pop_back();
  EXPECT_EQ(joined(parts), tokenizer().decode(ids));
  EXPECT_EQ(assembler.tokens(), static_cast<std::int64_t>(ids.size() + 1));
  EXPECT_EQ(assembler.silent_end(), with.silent_ids.front());
}

TEST(AnswerAssembler, NothingCountsBehindAStopString) {
  AnswerForm with = form();
  with.stops = {"two"};
  AnswerAssembler assembler(with);
  const auto parts = pieces(assembler, ids_of("one two three four"));
  EXPECT_EQ(joined(parts), "one ");
  EXPECT_EQ(assembler.stop_match(), "two");
  EXPECT_TRUE(parts.back().empty());
  EXPECT_LT(assembler.tokens(), static_cast<std::int64_t>(ids_of("one two three four").size()));
}

TEST(AnswerAssembler, StopStringsWaitForMinTokens) {
  AnswerForm with = form();
  with.stops = {"a"};
  const auto ids = ids_of("a b c d a b");
  with.min_tokens = 3;
  AnswerAssembler assembler(with);
  const std::string text = joined(pieces(assembler, ids));
  EXPECT_TRUE(text.starts_with("a b c"));
  EXPECT_EQ(assembler.stop_match(), "a");
}

TEST(AnswerAssembler, LogprobsComeOnlyWhenAskedFor) {
  AnswerForm with = form();
  const std::vector<model::TokenLogprob> top{{5, -0.25f}, {6, -1.5f}};
  AnswerPiece piece;
  AnswerAssembler(with).push({0, 5, -0.25f, top}, piece);
  EXPECT_TRUE(piece.logprobs.empty() && piece.top.empty());
  AnswerPiece told;
  with.logprobs = true;
  AnswerAssembler(with).push({0, 5, -0.25f, top}, told);
  EXPECT_EQ(told.logprobs, std::vector<float>{-0.25f});
  told.append(told);
  EXPECT_EQ(told.top_of(1).size(), 2u);
  EXPECT_EQ(told.top_of(1)[1], top[1]);
  EXPECT_TRUE(piece.top_of(0).empty());
}

/// What the bundled model's tokenizer has tokens for: markers as such, the rest as text.
std::vector<std::int32_t> ids_with_markers(std::string_view text) {
  return tokenizer().encode(text, {.recognize_added_tokens = true}).value();
}

AnswerForm form_with_parts(bool starts_in_reasoning) {
  AnswerForm with = form();
  with.parts = model::AnswerOptions{{model::ToolCallFormat::deepseek_v3, true},
                                    starts_in_reasoning,
                                    model::spelled_markers(tokenizer())};
  return with;
}

constexpr const char* kCalls =
    "Let me see</think>I look.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n"
    "```json\n{\"a\": 1}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>g\n"
    "```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>";

AnswerPiece whole_of(const std::vector<AnswerPiece>& pieces) {
  AnswerPiece whole;
  for (const auto& piece : pieces) whole.append(piece);
  return whole;
}

TEST(AnswerAssembler, ThoughtsContentAndCallsComeApart) {
  AnswerAssembler assembler(form_with_parts(true));
  const auto whole = whole_of(pieces(assembler, ids_with_markers(kCalls)));
  EXPECT_EQ(whole.reasoning, "Let me see");
  EXPECT_EQ(whole.text, "I look.");
  ASSERT_EQ(whole.calls.size(), 2u);
  EXPECT_EQ(whole.calls[0].name, "f");
  EXPECT_EQ(whole.calls[0].arguments, "{\"a\": 1}");
  EXPECT_EQ(whole.calls[1].name, "g");
  EXPECT_EQ(whole.calls[1].index, 1);
  EXPECT_EQ(whole.calls[1].arguments, "{}");
  EXPECT_TRUE(assembler.calls());
  EXPECT_FALSE(assembler.ended());
}

TEST(AnswerAssembler, TheEndOfTheOnlyCallEndsTheAnswer) {
  AnswerForm with = form_with_parts(true);
  with.one_call = true;
  with.reasoning = false;
  AnswerAssembler assembler(with);
  const auto whole = whole_of(pieces(assembler, ids_with_markers(kCalls)));
  EXPECT_EQ(whole.reasoning, "");
  ASSERT_EQ(whole.calls.size(), 1u);
  EXPECT_EQ(whole.calls[0].arguments, "{\"a\": 1}");
  EXPECT_TRUE(assembler.ended());
  EXPECT_LT(whole.ids.size(), ids_with_markers(kCalls).size());
}

TEST(AnswerAssembler, StopStringsEndContentAndNothingElse) {
  AnswerForm with = form_with_parts(true);
  with.stops = {"see", "json", "look"};
  AnswerAssembler assembler(with);
  const auto whole = whole_of(pieces(assembler, ids_with_markers(kCalls)));
  EXPECT_EQ(whole.reasoning, "Let me see");
  EXPECT_EQ(whole.text, "I ");
  EXPECT_EQ(assembler.stop_match(), "look");
  EXPECT_TRUE(whole.calls.empty());
}

TEST(AnswerAssembler, TextThatSpellsAMarkerIsNone) {
  const std::string text = "say <｜tool▁calls▁begin｜> and </think>";
  AnswerAssembler assembler(form_with_parts(false));
  const auto ids = tokenizer().encode(text, {.recognize_added_tokens = false}).value();
  EXPECT_EQ(joined(pieces(assembler, ids)), text);
  EXPECT_FALSE(assembler.calls());
}

TEST(AnswerAssembler, WhatWasToldBeforeIsNotToldAgain) {
  const auto ids = ids_with_markers(kCalls);
  AnswerAssembler first(form_with_parts(true));
  const auto all = pieces(first, ids);
  for (std::size_t told = 0; told <= ids.size(); ++told) {
    AnswerForm with = form_with_parts(true);
    with.told = static_cast<std::int64_t>(told);
    AnswerAssembler assembler(with);
    auto whole = whole_of({all.begin(), all.begin() + static_cast<std::ptrdiff_t>(told)});
    whole.append(whole_of(pieces(assembler, ids)));
    EXPECT_EQ(whole.ids, ids) << told;
    EXPECT_EQ(whole.text, whole_of(all).text) << told;
    EXPECT_EQ(whole.reasoning, whole_of(all).reasoning) << told;
    ASSERT_EQ(whole.calls.size(), 2u) << told;
    EXPECT_EQ(whole.calls[1].arguments, whole_of(all).calls[1].arguments) << told;
    EXPECT_EQ(assembler.tokens(), static_cast<std::int64_t>(ids.size()));
  }
}

TEST(AnswerAssembler, WithoutATokenizerThereAreIdsOnly) {
  AnswerAssembler assembler(AnswerForm{});
  const auto parts = pieces(assembler, {1, 2, 3});
  EXPECT_EQ(joined(parts), "");
  EXPECT_EQ(parts[1].ids, std::vector<std::int32_t>{2});
}

}  // namespace
}  // namespace troupe::services
