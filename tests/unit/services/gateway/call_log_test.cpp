// What the log has of a call, and what only the log has.
#include "services/gateway/call_log.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace troupe::services {
namespace {

using Json = nlohmann::json;

class CallLogTest : public testing::Test {
 protected:
  static CallRecord call(const char* code, const char* reason = "") {
    CallRecord record;
    record.request_id = "req-1";
    record.api = "chat";
    record.code = code;
    record.reason = reason;
    return record;
  }

  std::vector<Json> lines;
  Logger log{{"gateway"}, Logger::Format::json, LogLevel::info, [this](std::string_view line) {
               lines.push_back(Json::parse(line));
             }};
  CallLog calls{log};
};

TEST_F(CallLogTest, TheCauseOfABugIsUnderTheRequestsId) {
  CallRecord bug = call("500", "internal");
  bug.cause = from_engine({Errc::malformed, "3 of 7 logits are NaN"}).cause;
  calls.tell(bug);
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0]["event"], "call_ended");
  EXPECT_EQ(lines[0]["level"], "error");
  EXPECT_EQ(lines[0]["request_id"], "req-1");
  EXPECT_EQ(lines[0]["cause"], "3 of 7 logits are NaN");
}

TEST_F(CallLogTest, OnlyTheServersOwnFaultsAreErrors) {
  for (const char* code : {"200", "400", "429", "499", "503", "OK", "CANCELLED", "UNAVAILABLE"})
    calls.tell(call(code));
  for (const Json& line : lines) {
    EXPECT_EQ(line["level"], "info") << line;
    EXPECT_FALSE(line.contains("cause")) << line;
  }
  EXPECT_EQ(lines.size(), 8u);
  lines.clear();
  for (const char* code : {"500", "INTERNAL", "UNKNOWN", "DATA_LOSS"}) calls.tell(call(code));
  for (const Json& line : lines) EXPECT_EQ(line["level"], "error") << line;
  EXPECT_EQ(lines.size(), 4u);
}

TEST_F(CallLogTest, APageThatAsksEverySecondIsNewsWhenItIsRefused) {
  CallRecord poll = call("200");
  poll.poll = true;
  calls.tell(poll);
  EXPECT_TRUE(lines.empty());
  poll = call("403", "insufficient_permissions");
  poll.poll = true;
  calls.tell(poll);
  EXPECT_EQ(lines.size(), 1u);
}

TEST_F(CallLogTest, OfStrangersOtherLinesTell) {
  CallRecord stranger = call("400");
  stranger.stranger = true;
  calls.tell(stranger);
  EXPECT_TRUE(lines.empty());
}

TEST_F(CallLogTest, WhatNobodyReadIsToldOnceASecondWithTheNumberThatIsMissing) {
  CallRecord refused = call("429", "queue_full");
  refused.unread = true;
  const auto start = DoorLog::TimePoint(std::chrono::hours(1));
  for (int i = 0; i < 100; ++i) calls.tell(refused, start + std::chrono::milliseconds(i));
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_FALSE(lines[0].contains("refusals_not_told")) << lines[0];
  for (int i = 0; i < 3; ++i) calls.tell(call("429", "queue_full"), start);
  EXPECT_EQ(lines.size(), 4u) << "requests that were read have a line each";
  for (int i = 0; i < 100; ++i) calls.tell(refused, start + std::chrono::milliseconds(1000 + i));
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_EQ(lines[4]["event"], "call_ended");
  EXPECT_EQ(lines[4]["refusals_not_told"], 99);
}

}  // namespace
}  // namespace troupe::services
