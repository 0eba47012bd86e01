// Errors of the engine and of HTTP as OpenAI's clients read them.
#include "services/gateway/http/error_reply.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace troupe::services::http {
namespace {

nlohmann::json body_of(const HttpError& error) {
  return nlohmann::json::parse(error_body(error, "req-1"))["error"];
}

TEST(ErrorReply, EveryReasonHasItsStatus) {
  const std::vector<std::pair<ApiError, int>> rows{
      {invalid_fields({{"temperature", "is hot"}}), 400},
      {not_served("n"), 400},
      {context_exceeded(5, 9, 10, {"prompt", "max_tokens"}), 400},
      {unauthenticated("no key"), 401},
      {permission_denied("alice", "generate"), 403},
      {model_not_found("x", {"y"}), 404},
      {operation_in_progress(), 409},
      {queue_full(7, std::chrono::milliseconds(1500)), 429},
      {rate_limited("alice", "1 request", std::chrono::milliseconds(1)), 429},
      {from_engine({Errc::overloaded, "full"}), 429},
      {from_engine({Errc::resource_exhausted, "full"}), 429},
      {from_engine({Errc::cancelled, ""}), 499},
      {from_engine({Errc::internal, "secret"}), 500},
      {draining(), 503},
      {not_ready({actors::Readiness::State::starting, "loading"}), 503},
      {from_engine({Errc::not_resident, "layer 3, experts 7: no live expert shard holds them"}),
       503},
      {from_engine({Errc::unavailable, "gone"}), 503},
      {from_engine({Errc::deadline_exceeded, "late"}), 504},
  };
  for (const auto& [error, status] : rows) {
    const HttpError face = to_http(error);
    EXPECT_EQ(face.status, status) << error.reason;
    EXPECT_FALSE(face.type.empty() || face.code.empty() || face.message.empty());
    const bool again = status == 409 || status == 429 || status == 503;
    EXPECT_EQ(face.retry_after.has_value(), again) << error.reason;
  }
}

TEST(ErrorReply, TheBodyHasWhatClientsLookFor) {
  const auto body = body_of(to_http(invalid_fields({{"messages[0].content", "is bad"}})));
  EXPECT_EQ(body["type"], "invalid_request_error");
  EXPECT_EQ(body["code"], "invalid_value");
  EXPECT_EQ(body["param"], "messages[0].content");
  EXPECT_EQ(body["message"], "messages[0].content is bad");
  EXPECT_EQ(body["request_id"], "req-1");
  EXPECT_TRUE(body_of(refusal(408))["param"].is_null());
}

TEST(ErrorReply, ParamsComeFromWhereverTheyAreKnown) {
  EXPECT_EQ(to_http(model_not_found("x", {"y"})).param, "model");
  EXPECT_EQ(to_http(not_served("tools")).param, "tools");
  EXPECT_EQ(to_http(context_exceeded(5, 9, 10, {"messages", "max_tokens"})).param, "messages");
}

TEST(ErrorReply, RetryAfterIsInWholeSecondsRoundedUp) {
  const auto header = [](std::chrono::milliseconds wait) {
    for (const auto& [name, value] : to_reply(to_http(queue_full(1, wait)), "r").headers) {
      if (name == "Retry-After") return value;
    }
    return std::string("none");
  };
  EXPECT_EQ(header(std::chrono::milliseconds(1)), "1");
  EXPECT_EQ(header(std::chrono::milliseconds(1000)), "1");
  EXPECT_EQ(header(std::chrono::milliseconds(1001)), "2");
}

TEST(ErrorReply, NothingInsideIsTold) {
  EXPECT_EQ(to_http(from_engine({Errc::internal, "secret"})).message.find("secret"),
            std::string::npos);
  EXPECT_EQ(refusal(500).code, "internal");
}

TEST(ErrorReply, TextOfStrangersIsEscaped) {
  EXPECT_EQ(body_of(no_such_path("/\"\n\x01"))["code"], "not_found");
}

}  // namespace
}  // namespace troupe::services::http
