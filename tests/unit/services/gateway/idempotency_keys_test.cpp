// Which keys are refused, and when a refused one is free again.
#include "services/gateway/idempotency_keys.hpp"

#include <gtest/gtest.h>

namespace troupe::services {
namespace {

class IdempotencyKeysTest : public testing::Test {
 protected:
  using Hold = IdempotencyKeys::Hold;

  Answered<Hold> hold(const std::string& owner, std::vector<std::string> values) {
    return keys_.hold(owner, {"Idempotency-Key", std::move(values)});
  }
  /// Of the error; empty: there is none.
  std::string refusal(const std::string& owner, std::vector<std::string> values) {
    const auto answer = hold(owner, std::move(values));
    const auto* error = std::get_if<ApiError>(&answer);
    return error == nullptr ? "" : error->reason;
  }

  IdempotencyKeys keys_;
};

TEST_F(IdempotencyKeysTest, OneRequestAtATimeHasAKey) {
  auto first = std::get<Hold>(hold("alice", {"k"}));
  const auto second = hold("alice", {"k"});
  ASSERT_TRUE(std::holds_alternative<ApiError>(second));
  const auto& error = std::get<ApiError>(second);
  EXPECT_EQ(error.code, ApiCode::aborted);
  EXPECT_EQ(error.reason, "OPERATION_IN_PROGRESS");
  EXPECT_TRUE(error.retry_after.has_value());
  EXPECT_EQ(refusal("alice", {"K"}), "") << "another key";
  first.reset();
  EXPECT_EQ(refusal("alice", {"k"}), "") << "it is free again";
  EXPECT_EQ(refusal("alice", {"k"}), "") << "and whoever was refused holds nothing";
}

TEST_F(IdempotencyKeysTest, TheRefusedDoNotFreeTheKeyOfOthers) {
  const auto first = hold("alice", {"k"});
  for (int i = 0; i < 2; ++i) EXPECT_EQ(refusal("alice", {"k"}), "OPERATION_IN_PROGRESS") << i;
}

TEST_F(IdempotencyKeysTest, OwnersDoNotMeet) {
  const auto first = hold("alice", {"k"});
  EXPECT_EQ(refusal("bob", {"k"}), "");
  EXPECT_EQ(refusal("", {"k"}), "");
  EXPECT_EQ(refusal("alic", {"ek"}), "") << "no joined text";
}

TEST_F(IdempotencyKeysTest, WithoutAKeyNobodyIsRefused) {
  const auto first = hold("alice", {});
  EXPECT_EQ(refusal("alice", {}), "");
}

TEST_F(IdempotencyKeysTest, AKeyIsOfVisibleCharacters) {
  const std::string longest(256, '~');
  for (const std::string& fine : {std::string("!"), longest, std::string("\"8e03\"")})
    EXPECT_EQ(refusal("alice", {fine}), "") << fine;
  for (const std::string& wrong :
       {std::string(), longest + "~", std::string("a b"), std::string("\x7f"),
        std::string("\xc3\xa9"), std::string("a\0b", 3)}) {
    const auto answer = hold("alice", {wrong});
    ASSERT_TRUE(std::holds_alternative<ApiError>(answer)) << wrong;
    const auto& error = std::get<ApiError>(answer);
    EXPECT_EQ(error.code, ApiCode::invalid_argument) << wrong;
    EXPECT_EQ(error.fields.at(0).field, "Idempotency-Key") << wrong;
  }
  EXPECT_EQ(refusal("alice", {"a", "b"}), "INVALID_FIELD") << "two of them";
}

}  // namespace
}  // namespace troupe::services
