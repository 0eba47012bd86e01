// Every error of the engine has its place among the API's, and gRPC carries all of it.
#include "services/gateway/api_error.hpp"

#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>
#include <gtest/gtest.h>

#include "services/gateway/grpc/status.hpp"

namespace troupe::services {
namespace {

TEST(ApiError, EveryErrorOfTheEngineHasItsCodeAndReason) {
  struct Case {
    Errc engine;
    ApiCode code;
    const char* reason;
    bool retry;
  };
  for (const Case& one : std::initializer_list<Case>{
           {Errc::invalid_argument, ApiCode::invalid_argument, "INVALID_VALUE", false},
           {Errc::out_of_range, ApiCode::invalid_argument, "INVALID_VALUE", false},
           {Errc::overloaded, ApiCode::resource_exhausted, "QUEUE_FULL", true},
           {Errc::resource_exhausted, ApiCode::resource_exhausted, "MEMORY_EXHAUSTED", true},
           {Errc::deadline_exceeded, ApiCode::deadline_exceeded, "DEADLINE_EXCEEDED", false},
           {Errc::cancelled, ApiCode::cancelled, "CANCELLED", false},
           {Errc::unavailable, ApiCode::unavailable, "SERVICE_LOST", true},
           {Errc::not_resident, ApiCode::unavailable, "EXPERT_UNCOVERED", true},
           {Errc::not_found, ApiCode::internal, "INTERNAL", false},
           {Errc::malformed, ApiCode::internal, "INTERNAL", false},
           {Errc::unsupported, ApiCode::internal, "INTERNAL", false},
           {Errc::truncated, ApiCode::internal, "INTERNAL", false},
           {Errc::io, ApiCode::internal, "INTERNAL", false},
           {Errc::stale, ApiCode::internal, "INTERNAL", false},
           {Errc::unsupported_cpu, ApiCode::internal, "INTERNAL", false},
           {Errc::internal, ApiCode::internal, "INTERNAL", false},
       }) {
    const auto error = from_engine({one.engine, "secret path"});
    EXPECT_EQ(error.code, one.code) << to_string(one.engine);
    EXPECT_EQ(error.reason, one.reason) << to_string(one.engine);
    EXPECT_EQ(error.retry_after.has_value(), one.retry) << to_string(one.engine);
    const bool shown = error.message.find("secret path") != std::string::npos;
    EXPECT_FALSE(one.code == ApiCode::internal && shown) << to_string(one.engine);
  }
}

TEST(ApiError, AnUncoveredExpertIsNamed) {
  const auto error = from_engine(
      {Errc::not_resident,
       "layer 3, experts 7, 9: no live expert shard holds them; the request can be repeated"});
  EXPECT_EQ(error.code, ApiCode::unavailable);
  EXPECT_EQ(error.reason, "EXPERT_UNCOVERED");
  EXPECT_EQ(error.metadata.at("layer"), "3");
  EXPECT_EQ(error.metadata.at("expert"), "7");
  EXPECT_TRUE(error.retry_after.has_value());
}

TEST(ApiError, WhatIsMissingDecidesTheReasonAndIsNamed) {
  using State = actors::Readiness::State;
  const std::pair<State, std::string> reasons[] = {{State::starting, "MODEL_LOADING"},
                                                   {State::draining, "DRAINING"},
                                                   {State::expert_lost, "EXPERT_UNCOVERED"},
                                                   {State::service_lost, "SERVICE_LOST"}};
  for (const auto& [state, reason] : reasons) {
    const auto error = not_ready({state, "expert 2 is LOST since 3.1 s"});
    EXPECT_EQ(error.code, ApiCode::unavailable) << reason;
    EXPECT_EQ(error.reason, reason);
    EXPECT_TRUE(error.retry_after.has_value()) << reason;
    const bool named = error.message.find("expert 2 is LOST since 3.1 s") != std::string::npos;
    EXPECT_EQ(named, state != State::draining) << error.message;
  }
}

TEST(ApiError, GrpcCarriesReasonFieldsAndTheTimeToComeBack) {
  ApiError error = invalid_fields({{"sampling.n", "is odd"}, {"text", "is empty"}});
  error.retry_after = std::chrono::milliseconds(1500);
  error.metadata["k"] = "v";
  const grpc::Status status = to_status(error, "req-1");
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(status.error_details()));
  EXPECT_EQ(details.code(), 3);
  EXPECT_EQ(details.message(), status.error_message());
  ASSERT_EQ(details.details_size(), 3);
  google::rpc::ErrorInfo info;
  ASSERT_TRUE(details.details(0).UnpackTo(&info));
  EXPECT_EQ(info.domain(), "troupe");
  EXPECT_EQ(info.reason(), "INVALID_FIELD");
  EXPECT_EQ(info.metadata().at("request_id"), "req-1");
  EXPECT_EQ(info.metadata().at("k"), "v");
  google::rpc::RetryInfo retry;
  ASSERT_TRUE(details.details(1).UnpackTo(&retry));
  EXPECT_EQ(retry.retry_delay().seconds(), 1);
  EXPECT_EQ(retry.retry_delay().nanos(), 500'000'000);
  google::rpc::BadRequest bad;
  ASSERT_TRUE(details.details(2).UnpackTo(&bad));
  ASSERT_EQ(bad.field_violations_size(), 2);
  EXPECT_EQ(bad.field_violations(1).field(), "text");
}

TEST(ApiError, CodesHaveTheirNames) {
  EXPECT_EQ(code_name(grpc::StatusCode::OK), "OK");
  EXPECT_EQ(code_name(grpc::StatusCode::UNAUTHENTICATED), "UNAUTHENTICATED");
}

}  // namespace
}  // namespace troupe::services
