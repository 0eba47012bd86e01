// The bookkeeping of work items, dispatches, replays and submits, without links or time.
#include <gtest/gtest.h>

#include "actors/attention/work_ledger.hpp"
#include "actors/gateway/replay_book.hpp"
#include "actors/router/dispatch_ledger.hpp"
#include "actors/submit_codec.hpp"
#include "transport/link.hpp"

namespace troupe::actors {
namespace {

constexpr PeerId kRouter = peer_id(proto::Role::router, 0);
constexpr PeerId kOther = peer_id(proto::Role::router, 1);
const TimePoint kSoon{std::chrono::hours(1)};

proto::FrameHeader asked(const WorkItem& item) {
  proto::FrameHeader header;
  header.work_id = item.work_id;
  header.attempt = item.asked;
  header.layer = 3;
  header.kind = static_cast<std::uint16_t>(proto::FrameKind::rows);
  return header;
}
proto::FrameHeader combined(const proto::FrameHeader& to) {
  auto header = proto::reply_header(to, 5, 0);
  header.kind = static_cast<std::uint16_t>(proto::FrameKind::combined);
  return header;
}

TEST(WorkLedger, MatchesOnlyTheOpenAttemptOfTheRouterThatWasAsked) {
  WorkLedger ledger;
  auto& item = ledger.open({0, 4}, kSoon);
  const auto first = asked(item);
  ledger.book(item, kRouter, first, kSoon);
  EXPECT_EQ(ledger.match(kOther, combined(first)), nullptr);
  auto other_layer = combined(first);
  other_layer.layer = 4;
  EXPECT_EQ(ledger.match(kRouter, other_layer), nullptr);
  EXPECT_EQ(ledger.match(kRouter, combined(first)), &item);
  ledger.unbook(item, kSoon);
  const auto second = asked(item);
  EXPECT_EQ(second.attempt, 1u);
  ledger.book(item, kOther, second, kSoon);
  EXPECT_EQ(ledger.match(kRouter, combined(first)), nullptr);
  EXPECT_EQ(ledger.match(kOther, combined(second)), &item);
}

TEST(WorkLedger, ReturnsTheCreditsOfEachAttemptOnceHoweverLate) {
  WorkLedger ledger;
  auto& item = ledger.open({0, 4}, kSoon);
  const auto first = asked(item);
  ledger.book(item, kRouter, first, kSoon);
  ledger.unbook(item, kSoon);
  const auto second = asked(item);
  ledger.book(item, kOther, second, kSoon);
  ledger.close(item.work_id);
  EXPECT_EQ(ledger.settle(kRouter, combined(first))->rows, 4);
  EXPECT_FALSE(ledger.settle(kRouter, combined(first)));
  EXPECT_EQ(ledger.owed(), 1u);
  ledger.forget(kOther);
  EXPECT_FALSE(ledger.settle(kOther, combined(second)));
}

TEST(WorkLedger, NeverUsesAWorkIdTwice) {
  WorkLedger ledger;
  const auto first = ledger.open({0, 1}, kSoon).work_id;
  ledger.close(first);
  EXPECT_NE(ledger.open({0, 1}, kSoon).work_id, first);
}

TEST(WorkLedger, CutsAnItemIntoPiecesThatKeepItsBudgetsAndAttempts) {
  WorkLedger ledger;
  auto& item = ledger.open({10, 5}, kSoon);
  const auto whole = item.work_id;
  ledger.book(item, kRouter, asked(item), kSoon);
  ledger.unbook(item, kSoon + std::chrono::seconds(1));
  item.waits = 1;
  item.alone = true;
  item.covered_by = kSoon;
  ledger.cut(whole, 2);
  EXPECT_EQ(ledger.find(whole), nullptr);
  using Ranges = std::vector<std::pair<std::int64_t, std::int64_t>>;  // first row, rows
  Ranges ranges;
  for (const auto id : ledger.at(0)) {
    const auto& piece = *ledger.find(id);
    ranges.emplace_back(piece.range.first_row, piece.range.rows);
    EXPECT_EQ(piece.work_id, id);
    EXPECT_EQ(piece.asked, 1u);
    EXPECT_EQ(piece.tries(), 0u);
    EXPECT_EQ(piece.deadline, kSoon + std::chrono::seconds(1));
    EXPECT_TRUE(piece.alone);
    EXPECT_EQ(piece.covered_by, kSoon);
  }
  EXPECT_EQ(ranges, (Ranges{{10, 2}, {12, 2}, {14, 1}}));
  EXPECT_EQ(ledger.owed(), 1u);
}

TEST(ReplayBook, AcceptsEachPositionOnceAndOnlyFromTheLatestAttempt) {
  using Verdict = ReplayBook::Verdict;
  ReplayBook book({1, 2, 3});
  EXPECT_EQ(book.offer(0, 3, 7), Verdict::accepted);
  EXPECT_EQ(book.offer(0, 3, 7), Verdict::repeated);
  EXPECT_EQ(book.offer(0, 5, 7), Verdict::gap);
  EXPECT_EQ(book.offer(0, 2, 3), Verdict::stale);  // a prompt position
  EXPECT_EQ(book.begin_attempt(), 1u);
  EXPECT_EQ(book.offer(0, 4, 8), Verdict::stale);
  EXPECT_EQ(book.offer(1, 4, 8), Verdict::accepted);
  EXPECT_EQ(book.tokens().size(), 5u);
  EXPECT_EQ(book.mismatches(), 0);
}

TEST(ReplayBook, CountsATokenThatDiffersFromTheFirstAnswer) {
  ReplayBook book({1});
  ASSERT_EQ(book.offer(0, 1, 7), ReplayBook::Verdict::accepted);
  book.begin_attempt();
  EXPECT_EQ(book.offer(1, 1, 8), ReplayBook::Verdict::mismatch);
  EXPECT_EQ(book.mismatches(), 1);
  EXPECT_EQ(book.tokens()[1], 7);  // what the client has seen stays
}

TEST(ReplayBook, PassesEveryLogitsRowOnce) {
  ReplayBook book({1, 2, 3, 4});
  EXPECT_EQ(book.repeated_prompt_rows(0, 0, 3), 0);
  book.begin_attempt();
  EXPECT_EQ(book.repeated_prompt_rows(0, 3, 1), 1);  // stale
  EXPECT_EQ(book.repeated_prompt_rows(1, 0, 2), 2);
  EXPECT_EQ(book.repeated_prompt_rows(1, 2, 2), 1);
  EXPECT_TRUE(book.offer_generated_logits(1, 0));
  EXPECT_FALSE(book.offer_generated_logits(1, 0));
}

/// A router with one item of two rows, two experts each, of three experts on two shards.
struct Dispatching : ::testing::Test {
  Dispatching() {
    rules.experts_per_token = 2;
    rules.width = 4;
    rules.row_bytes = 8;
    ledger.emplace(rules);
    ledger->outstanding_rows(2);
    placement.experts = 3;
    placement.replicas = {{0}, {0}, {1}};
  }
  std::shared_ptr<transport::ReceivedFrame> frame(const proto::FrameHeader& header,
                                                  const auto& body) {
    auto out = transport::make_frame(pool, header, body);
    auto decoded = proto::decode(out.head.span());
    EXPECT_TRUE(decoded) << (decoded ? "" : decoded.malformed().text);
    return std::make_shared<transport::ReceivedFrame>(transport::ReceivedFrame{
        std::move(out.head), decoded.frame().header, decoded.frame().body});
  }
  RouterItem& open() {
    proto::FrameHeader header;
    header.work_id = 9;
    header.layer = 0;
    static const std::vector<std::byte> rows(16);
    const proto::Rows body{0, {2, 4, proto::WireDtype::bf16, rows}};
    auto& item = ledger->open(peer_id(proto::Role::attention, 0), frame(header, body), kSoon);
    ledger->set_routing(item, {{0, 2, 1, 2}, {0.5f, 0.5f, 0.5f, 0.5f}});
    return item;
  }
  void mark_sent(std::uint64_t work) {
    auto& dispatch = *ledger->dispatch(work);
    dispatch.header.work_id = work;
    dispatch.header.attempt = dispatch.misses;
    dispatch.header.layer = 0;
    dispatch.header.kind = static_cast<std::uint16_t>(proto::FrameKind::expert_rows);
  }
  std::shared_ptr<transport::ReceivedFrame> reply(std::uint64_t work, proto::PairStatus status) {
    const auto& dispatch = *ledger->dispatch(work);
    std::vector<proto::ReplyPair> pairs;
    for (const auto& pair : dispatch.pairs)
      pairs.push_back({static_cast<std::uint32_t>(pair.row),
                       static_cast<std::uint32_t>(pair.expert), static_cast<std::uint16_t>(status),
                       0});
    const bool ok = status == proto::PairStatus::ok;
    const std::vector<std::byte> rows(ok ? pairs.size() * 8 : 0);
    const proto::ExpertReply body{
        0,
        1,
        1,
        pairs,
        {ok ? static_cast<std::uint32_t>(pairs.size()) : 0u, 4, proto::WireDtype::bf16, rows}};
    return frame(proto::reply_header(dispatch.header, 5, 0), body);
  }
  static PeerId shard(std::uint32_t i) { return peer_id(proto::Role::expert, i); }

  transport::BufferPool pool;
  DispatchLedger::Rules rules;
  std::optional<DispatchLedger> ledger;
  model::Placement placement;
};

TEST_F(Dispatching, CompletesWhenEveryPairIsAnswered) {
  auto& item = open();
  const auto works = ledger->plan(item, placement, kSoon);
  ASSERT_EQ(works.size(), 2u);
  EXPECT_EQ(ledger->outstanding_rows(2)[0], 2);
  for (const auto work : works) mark_sent(work);
  const auto first = ledger->answer(shard(0), reply(works[0], proto::PairStatus::ok), kSoon);
  EXPECT_FALSE(first.stale);
  EXPECT_FALSE(first.complete);
  EXPECT_EQ(first.rows, 2);
  const auto second = ledger->answer(shard(1), reply(works[1], proto::PairStatus::ok), kSoon);
  EXPECT_TRUE(second.complete);
  for (const auto* row : item.replies) EXPECT_NE(row, nullptr);
  EXPECT_EQ(ledger->outstanding_rows(2)[1], 0);
}

TEST_F(Dispatching, DropsRepliesOfOthersAndSecondOnes) {
  auto& item = open();
  const auto works = ledger->plan(item, placement, kSoon);
  for (const auto work : works) mark_sent(work);
  const auto answer = reply(works[0], proto::PairStatus::ok);
  EXPECT_TRUE(ledger->answer(shard(1), answer, kSoon).stale);
  auto other = std::make_shared<transport::ReceivedFrame>(
      std::move(*reply(works[0], proto::PairStatus::ok)));
  other->header.epoch = 99;
  EXPECT_TRUE(ledger->answer(shard(0), other, kSoon).stale);
  EXPECT_FALSE(ledger->answer(shard(0), answer, kSoon).stale);
  EXPECT_TRUE(ledger->answer(shard(0), answer, kSoon).stale);
}

TEST_F(Dispatching, AsksAgainAfterALossWithWhatIsStillOpen) {
  auto& item = open();
  auto works = ledger->plan(item, placement, kSoon);
  for (const auto work : works) mark_sent(work);
  ledger->answer(shard(1), reply(works[1], proto::PairStatus::ok), kSoon);
  ledger->shard_lost(0);
  EXPECT_EQ(item.waiting.size(), 2u);
  placement.replicas = {{1}, {1}, {1}};
  works = ledger->plan(item, placement, kSoon);
  ASSERT_EQ(works.size(), 1u);
  const auto& again = *ledger->dispatch(works[0]);
  EXPECT_EQ(again.shard, 1);
  EXPECT_EQ(again.rows, (std::vector<std::int32_t>{0, 1}));
  mark_sent(works[0]);
  EXPECT_TRUE(ledger->answer(shard(1), reply(works[0], proto::PairStatus::ok), kSoon).complete);
}

TEST_F(Dispatching, KeepsUncoveredPairsAndRemembersSinceWhen) {
  auto& item = open();
  placement.replicas = {{0}, {0}, {}};
  EXPECT_EQ(ledger->plan(item, placement, kSoon).size(), 1u);
  EXPECT_EQ(*item.uncovered_since, kSoon);
  EXPECT_EQ(item.waiting.size(), 2u);
  EXPECT_NE(ledger->missing(item).find("2"), std::string::npos);
  placement.replicas = {{0}, {0}, {1}};
  EXPECT_EQ(ledger->plan(item, placement, kSoon).size(), 1u);
  EXPECT_FALSE(item.uncovered_since);
}

TEST_F(Dispatching, CountsMissesUpToTheLimit) {
  auto& item = open();
  auto now = kSoon;
  std::string exhausted;
  int asked = 0;
  while (exhausted.empty() && asked < 10) {
    for (const auto work : ledger->plan(item, placement, now)) {
      if (ledger->dispatch(work)->shard == 1) continue;
      mark_sent(work);
      ++asked;
      exhausted =
          ledger->answer(shard(0), reply(work, proto::PairStatus::not_resident), now).exhausted;
    }
    now += std::chrono::seconds(1);
  }
  EXPECT_EQ(asked, 4);  // once, and three times more
  EXPECT_EQ(exhausted.rfind("expert ", 0), 0u) << exhausted;
}

TEST_F(Dispatching, ReturnsCreditsOfItemsThatWereGivenUp) {
  auto& item = open();
  const auto works = ledger->plan(item, placement, kSoon);
  for (const auto work : works) mark_sent(work);
  const auto late = reply(works[0], proto::PairStatus::ok);
  ledger->close(item.id);
  const auto outcome = ledger->answer(shard(0), late, kSoon);
  EXPECT_FALSE(outcome.stale);
  EXPECT_EQ(outcome.item, 0u);
  EXPECT_EQ(outcome.rows, 2);
}

TEST(SubmitCodec, BringsARequestAcrossUnchanged) {
  GenerateRequest request;
  request.prompt = {4, 5, 6};
  auto& sampling = request.sampling;
  sampling.temperature = 0.5f;
  sampling.top_p = 0.9f;
  sampling.top_k = -1;
  sampling.min_p = 0.1f;
  sampling.presence_penalty = 0.25f;
  sampling.frequency_penalty = -0.5f;
  sampling.repetition_penalty = 1.5f;
  sampling.logit_bias = {{3, -1.0f}};
  sampling.seed = 1234567890123ull;
  sampling.max_tokens = 20;
  sampling.min_tokens = 2;
  sampling.ignore_eos = true;
  sampling.stop_token_ids = {9, 10};
  request.valid_vocab = 99;
  request.generated_logits = true;
  sampling.choice = 1;
  sampling.top_logprobs = 5;
  request.prompt_logprobs = 0;
  request.tenant = 0xfeedfacecafebeef;
  request.cache_salt = 0x0123456789abcdef;
  request.priority = -3;
  request.choices = 2;
  request.grammar_after = 12;
  request.grammar = {model::GrammarSpec::Kind::regex, "[a-z]+"};
  const std::vector<std::int32_t> tokens{4, 5, 6, 77};
  const SubmitBody submit(request, 31, tokens);
  ASSERT_TRUE(submit.check());
  proto::FrameHeader header;
  header.work_id = 31;
  header.attempt = 2;
  header.remaining_us = 5000;
  const auto read = read_submit(header, submit.body(), 3, kSoon);
  EXPECT_EQ(read.gateway, 3u);
  EXPECT_EQ(read.request, 31u);
  EXPECT_EQ(read.attempt, 2u);
  EXPECT_EQ(read.tokens, tokens);
  EXPECT_EQ(read.prompt_tokens, 3);
  EXPECT_EQ(read.valid_vocab, 99);
  EXPECT_FALSE(read.prompt_logits);
  EXPECT_TRUE(read.generated_logits);
  EXPECT_EQ(*read.deadline, kSoon + std::chrono::milliseconds(5));
  EXPECT_EQ(read.sampling.top_k, 0);  // -1 and 0 both mean all
  EXPECT_EQ(read.sampling.seed, sampling.seed);
  EXPECT_EQ(read.sampling.temperature, 0.5f);
  EXPECT_EQ(read.sampling.top_p, 0.9f);
  EXPECT_EQ(read.sampling.min_p, 0.1f);
  EXPECT_EQ(read.sampling.presence_penalty, 0.25f);
  EXPECT_EQ(read.sampling.frequency_penalty, -0.5f);
  EXPECT_EQ(read.sampling.repetition_penalty, 1.5f);
  EXPECT_EQ(read.sampling.logit_bias, sampling.logit_bias);
  EXPECT_EQ(read.sampling.max_tokens, 20);
  EXPECT_EQ(read.sampling.min_tokens, 2);
  EXPECT_TRUE(read.sampling.ignore_eos);
  EXPECT_EQ(read.sampling.stop_token_ids, sampling.stop_token_ids);
  EXPECT_EQ(read.sampling.choice, 1u);
  EXPECT_EQ(read.sampling.top_logprobs, 5);
  EXPECT_EQ(read.prompt_logprobs, 0);
  EXPECT_TRUE(read.prompt_ranks);
  EXPECT_EQ(read.tenant, request.tenant);
  EXPECT_EQ(read.cache_salt, request.cache_salt);
  EXPECT_EQ(read.priority, -3);
  EXPECT_EQ(read.choices, 2u);
  EXPECT_EQ(read.grammar, request.grammar);
  EXPECT_EQ(read.grammar_after, 12);
}

TEST(SubmitCodec, GatewaysThatDoNotAskForRanksGetNone) {
  GenerateRequest request;
  request.prompt = {4, 5};
  request.prompt_logprobs = 0;
  const SubmitBody submit(request, 31, request.prompt);
  auto older = submit.body();
  older.flags &= ~std::uint32_t{proto::kWantPromptRanks};
  EXPECT_FALSE(read_submit({}, older, 3, kSoon).prompt_ranks);
}

TEST(SubmitCodec, BringsListsOfIdsAcross) {
  GenerateRequest request;
  request.prompt = {1};
  request.sampling.allowed_token_ids = {5, 7, 9};
  for (const auto& words : std::vector<std::vector<std::vector<std::int32_t>>>{
           {}, {{5}}, {{5}, {7, 9}}, {{7, 9}, {5}, {0}}}) {
    request.sampling.bad_words = words;
    const SubmitBody submit(request, 1, request.prompt);
    ASSERT_TRUE(submit.check());
    const auto read = read_submit({}, submit.body(), 0, kSoon).sampling;
    EXPECT_EQ(read.allowed_token_ids, request.sampling.allowed_token_ids);
    EXPECT_EQ(read.bad_words, words);
  }
}

TEST(SubmitCodec, EveryKindOfGrammarArrivesAsItself) {
  using Kind = model::GrammarSpec::Kind;
  GenerateRequest request;
  request.prompt = {1};
  for (const model::GrammarSpec& grammar :
       {model::GrammarSpec{Kind::none, ""}, model::GrammarSpec{Kind::json_object, ""},
        model::GrammarSpec{Kind::json_schema, "{}"}, model::GrammarSpec{Kind::regex, "a"},
        model::GrammarSpec{Kind::tool_calls, "{}"}}) {
    request.grammar = grammar;
    const SubmitBody submit(request, 1, request.prompt);
    ASSERT_TRUE(submit.check());
    EXPECT_EQ(read_submit({}, submit.body(), 0, kSoon).grammar, grammar);
  }
}

TEST(SubmitCodec, SaysWhatAFrameCannotCarry) {
  GenerateRequest request;
  request.prompt = {1};
  request.sampling.stop_token_ids.assign(proto::kStopIdsMax + 1, 2);
  const SubmitBody submit(request, 1, request.prompt);
  EXPECT_EQ(submit.check().error().code, Errc::invalid_argument);
}

}  // namespace
}  // namespace troupe::actors
