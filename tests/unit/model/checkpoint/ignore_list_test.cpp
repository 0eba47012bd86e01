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
  EXPECT_EQ(list->covering("lm_head"), "lm_head");
  EXPECT_EQ(list->covering("model.layers.3.self_attn.o_proj"), entries[1]);
  EXPECT_EQ(list->covering("model.layers.0.mlp.up_proj"), entries[2]);
  EXPECT_EQ(list->covering("visual.blocks.0"), entries[3]);
  EXPECT_EQ(list->covering("model.visual"), "") << "only from the beginning";
  EXPECT_EQ(list->covering("model.layers.3.mlp.experts.7.up_proj"), "");
  EXPECT_EQ(list->covering("lm_head2"), "") << "a name is no expression";
  EXPECT_EQ(IgnoreList().covering("lm_head"), "");
}

TEST(IgnoreList, RefusesWhatIsNoExpression) {
  const std::vector<std::string> entries{"lm_head", "re:(open"};
  const auto list = IgnoreList::compile(entries);
  ASSERT_FALSE(list);
  EXPECT_EQ(list.error().code, Errc::malformed);
  EXPECT_NE(list.error().detail.find("re:(open"), std::string::npos) << list.error().detail;
}

TEST(IgnoreList, GivesUpOnExpressionsThatExplode) {
  const std::vector<std::string> entries{"re:(a*)*(a*)*(a*)*b"};
  const auto list = IgnoreList::compile(entries);
  ASSERT_TRUE(list);
  EXPECT_EQ(list->covering(std::string(200, 'a')), "");
}

}  // namespace
}  // namespace troupe::model
