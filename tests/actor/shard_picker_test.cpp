// Where requests go: to their prompt, to their siblings, or where there is least to do.
#include "actors/gateway/shard_picker.hpp"

#include <gtest/gtest.h>

namespace troupe::actors {
namespace {

constexpr PeerId kOne = peer_id(proto::Role::attention, 0);
constexpr PeerId kTwo = peer_id(proto::Role::attention, 1);

GenerateRequest prompt(int tokens, std::int32_t first = 0) {
  GenerateRequest request;
  for (int i = 0; i < tokens; ++i) request.prompt.push_back(first + i);
  return request;
}

TEST(ShardPicker, TakesTheLeastLoadedAndTheLowerIdOnTies) {
  ShardPicker picker;
  EXPECT_EQ(picker.pick(prompt(10), 1, {}), 0u) << "there is none";
  EXPECT_EQ(picker.pick(prompt(10), 1, {{kOne, 5}, {kTwo, 5}}), kOne);
  EXPECT_EQ(picker.pick(prompt(10), 2, {{kOne, 6}, {kTwo, 5}}), kTwo);
}

TEST(ShardPicker, SendsAPromptWhereItsFirstPagesAreUnlessThatShardIsTooBusy) {
  ShardPicker picker;
  EXPECT_EQ(picker.pick(prompt(200), 1, {{kOne, 50}, {kTwo, 0}}), kTwo);
  auto next_turn = prompt(300);  // the first 200 tokens are the same: 3 pages, 192 tokens
  EXPECT_EQ(picker.pick(next_turn, 2, {{kOne, 0}, {kTwo, 384}}), kTwo);
  EXPECT_EQ(picker.pick(prompt(200), 3, {{kOne, 0}, {kTwo, 385}}), kOne);
  EXPECT_EQ(picker.pick(prompt(200), 4, {{kOne, 0}, {kTwo, 0}}), kOne) << "it is there now";
}

TEST(ShardPicker, ShortOrSaltedPromptsStickToNothing) {
  ShardPicker picker;
  picker.pick(prompt(64), 1, {{kOne, 5}, {kTwo, 0}});
  EXPECT_EQ(picker.pick(prompt(64), 2, {{kOne, 0}, {kTwo, 1}}), kOne)
      << "its last token is computed anyway, so no page is saved";
  picker.pick(prompt(200), 3, {{kOne, 5}, {kTwo, 0}});
  auto salted = prompt(200);
  salted.cache_salt = 9;
  EXPECT_EQ(picker.pick(salted, 4, {{kOne, 0}, {kTwo, 1}}), kOne);
}

TEST(ShardPicker, KeepsSiblingsTogetherWhateverTheLoad) {
  ShardPicker picker;
  auto sibling = prompt(10);
  sibling.choices = 3;
  sibling.sampling.seed = 7;
  EXPECT_EQ(picker.pick(sibling, 1, {{kOne, 1}, {kTwo, 0}}), kTwo);
  sibling.sampling.choice = 1;
  EXPECT_EQ(picker.pick(sibling, 2, {{kOne, 1}, {kTwo, 100000}}), kTwo);
  auto stranger = sibling;
  stranger.sampling.seed = 8;
  EXPECT_EQ(picker.pick(stranger, 3, {{kOne, 1}, {kTwo, 100000}}), kOne);
  // Its shard is gone: the replays of all of them meet again.
  EXPECT_EQ(picker.pick(sibling, 2, {{kOne, 5}}), kOne);
  EXPECT_EQ(picker.pick(sibling, 1, {{kOne, 5}, {kTwo, 0}}), kOne);
  picker.ends(1);
  picker.ends(2);
  EXPECT_EQ(picker.pick(sibling, 4, {{kOne, 5}, {kTwo, 0}}), kTwo) << "the same question, later";
}

TEST(ShardPicker, ForgetsALostShardAndRemembersABoundedNumberOfPages) {
  ShardPicker picker;
  picker.pick(prompt(200), 1, {{kOne, 5}, {kTwo, 0}});
  EXPECT_EQ(picker.remembered(), 3u);
  picker.forget(kTwo);
  EXPECT_EQ(picker.remembered(), 0u);
  EXPECT_EQ(picker.pick(prompt(200), 2, {{kOne, 0}, {kTwo, 1}}), kOne);
  for (int i = 0; i < 1100; ++i)
    picker.pick(prompt(64 * 70, i * 100000), 3, {{kOne, 0}});  // 64 pages of each count
  EXPECT_EQ(picker.remembered(), ShardPicker::kRememberedMax);
}

}  // namespace
}  // namespace troupe::actors
