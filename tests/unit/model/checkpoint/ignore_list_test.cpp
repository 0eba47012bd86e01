// Names and expressions of quantization_config.ignore cover what Python's re.match would.
#include "model/checkpoint/ignore_list.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace troupe::model {
namespace {

TEST(IgnoreList, CoversNamesAndBeginningsThatMatch) {
  const std::vector<std::string> entries{"lm_head", "re:.*self_attn.*",
                                         R"(re:.*mlp\.(gate|up|gate_up|down)_proj.*)", "re:visual"};
  const auto list = IgnoreList::compile(entries);
  ASSERT_TRUE(list) << list.error().detail;
  EXPECT_EQ(*list->covering("lm_head"), "lm_head");
  EXPECT_EQ(*list->covering("model.layers.3.self_attn.o_proj"), entries[1]);
  EXPECT_EQ(*list->covering("model.layers.0.mlp.up_proj"), entries[2]);
  EXPECT_EQ(*list->covering("visual.blocks.0"), entries[3]);
  EXPECT_EQ(*list->covering("model.visual"), "") << "only from the beginning";
  EXPECT_EQ(*list->covering("model.layers.3.mlp.experts.7.up_proj"), "");
  EXPECT_EQ(*list->covering("lm_head2"), "") << "a name is no expression";
  EXPECT_EQ(*IgnoreList().covering("lm_head"), "");
}

TEST(IgnoreList, RefusesWhatIsNoExpression) {
  const std::vector<std::string> entries{"lm_head", "re:(open"};
  const auto list = IgnoreList::compile(entries);
  ASSERT_FALSE(list);
  EXPECT_EQ(list.error().code, Errc::malformed);
  EXPECT_NE(list.error().detail.find("re:(open"), std::string::npos) << list.error().detail;
}

TEST(IgnoreList, NamesTheExpressionThatExplodes) {
  const std::vector<std::string> entries{"re:(a*)*(a*)*(a*)*[bc]"};
  const auto list = IgnoreList::compile(entries);
  ASSERT_TRUE(list);
  const auto covered = list->covering(std::string(200, 'a'));
  ASSERT_FALSE(covered) << "nobody knows whether it matches";
  EXPECT_EQ(covered.error().code, Errc::malformed);
  EXPECT_NE(covered.error().detail.find(entries[0]), std::string::npos) << covered.error().detail;
  EXPECT_EQ(*list->covering("aab"), entries[0]) << "the next name has the whole limit again";
}

TEST(IgnoreList, HasABoundedNumberOfEntries) {
  EXPECT_TRUE(IgnoreList::compile(std::vector<std::string>(1024, "re:a")));
  const auto list = IgnoreList::compile(std::vector<std::string>(1025, "lm_head"));
  ASSERT_FALSE(list);
  EXPECT_EQ(list.error().code, Errc::malformed);
  EXPECT_NE(list.error().detail.find("has 1025 entries, at most 1024"), std::string::npos)
      << list.error().detail;
}

}  // namespace
}  // namespace troupe::model
