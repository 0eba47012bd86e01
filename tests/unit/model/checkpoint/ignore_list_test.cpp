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
  EXPECT_TRUE(IgnoreList::compile(std::vector<std::string>(256, "re:.*layers\\.7\\..*")));
  const auto numbered = IgnoreList::compile(std::vector<std::string>(257, "re:.*layers\\.7\\..*"));
  ASSERT_FALSE(numbered);
  EXPECT_EQ(numbered.error().code, Errc::malformed);
  EXPECT_NE(numbered.error().detail.find("257 expressions that tell numbers apart, at most 256"),
            std::string::npos)
      << numbered.error().detail;
  const auto list = IgnoreList::compile(std::vector<std::string>(1025, "lm_head"));
  ASSERT_FALSE(list);
  EXPECT_EQ(list.error().code, Errc::malformed);
  EXPECT_NE(list.error().detail.find("has 1025 entries, at most 1024"), std::string::npos)
      << list.error().detail;
}

/// Modules of a model of Kimi K2's size.
std::vector<std::string> expert_modules() {
  std::vector<std::string> names;
  for (int layer = 1; layer < 61; ++layer)
    for (int expert = 0; expert < 384; ++expert)
      for (const char* part : {"gate_proj", "up_proj", "down_proj"})
        names.push_back("model.layers." + std::to_string(layer) + ".mlp.experts." +
                        std::to_string(expert) + "." + part);
  return names;
}

TEST(IgnoreList, MatchesExpressionsOnceForModulesThatDifferInDigitsOnly) {
  const auto modules = expert_modules();
  const auto list =
      IgnoreList::compile(std::vector<std::string>(1024, "re:.*(self_attn|shared_experts).*"));
  ASSERT_TRUE(list);
  for (const std::string& module : modules) EXPECT_EQ(*list->covering(module), "");
  // Layers have one digit or two, experts one to three.
  EXPECT_EQ(list->matches_run(), 1024u * 2 * 3 * 3);
}

TEST(IgnoreList, LooksNamesUp) {
  const auto modules = expert_modules();
  const auto list = IgnoreList::compile(std::span(modules).first(1024));
  ASSERT_TRUE(list);
  for (const std::string& module : std::span(modules).first(1024))
    EXPECT_EQ(*list->covering(module), module);
  EXPECT_EQ(*list->covering(modules[1024]), "");
  EXPECT_EQ(list->matches_run(), 0u);
}

TEST(IgnoreList, TellsNumbersApartWhereAnExpressionDoes) {
  // Each covers layer 11 and not layer 13, whichever is asked for first.
  for (const char* entry :
       {"re:layers.11", R"(re:layers\.1[0-2])", R"(re:.*\.\x31\x31)", R"(re:.*\.(\d)\1$)",
        R"(re:.*\.(?P<a>\d)(?P=a))", R"(re:.*\.(?<a>\d)\k<a>)", R"(re:.*\.(?<a>\d)\g{a})",
        R"(re:.*\.[^3]+$)", R"(re:.*\.[!-2]+$)"}) {
    for (const bool first : {false, true}) {
      const auto list = IgnoreList::compile(std::vector<std::string>{"re:.*mlp.*", entry});
      ASSERT_TRUE(list) << list.error().detail;
      if (first) {
        EXPECT_EQ(*list->covering("layers.13"), "") << entry;
      }
      EXPECT_EQ(*list->covering("layers.11"), entry);
      EXPECT_EQ(*list->covering("layers.13"), "") << entry;
    }
  }
}

}  // namespace
}  // namespace troupe::model
