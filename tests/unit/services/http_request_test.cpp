// What is a request, when it is complete, and how an answer reads.
#include "services/runtime/ops/http_request.hpp"

#include <gtest/gtest.h>

namespace troupe::services {
namespace {

TEST(HttpRequest, MethodPathAndQueryAreTakenApart) {
  const auto request = parse_request("GET /readyz?a=1&verbose HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(request);
  EXPECT_EQ(request->method, "GET");
  EXPECT_EQ(request->path, "/readyz");
  EXPECT_EQ(request->query, "a=1&verbose");
  EXPECT_TRUE(request->has_parameter("verbose"));
  EXPECT_TRUE(request->has_parameter("a"));
  EXPECT_FALSE(request->has_parameter("verb"));
  EXPECT_TRUE(parse_request("HEAD /livez HTTP/1.0\n\n"));
}

TEST(HttpRequest, AnythingElseIsNone) {
  for (const char* bytes :
       {"", "\n", "GET\r\n", "GET /\r\n", "GET / HTTP/2.0\r\n", "GET livez HTTP/1.1\r\n",
        "get /livez HTTP/1.1\r\n", " /livez HTTP/1.1\r\n", "GET /a b HTTP/1.1\r\n",
        "GET  HTTP/1.1\r\n", " HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n", "GET /livez HTTP/1.1"})
    EXPECT_FALSE(parse_request(bytes)) << bytes;
}

TEST(HttpRequest, ItIsCompleteBehindItsHeadersOrWhenItIsNoRequest) {
  const std::string whole = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
  for (std::size_t length = 0; length < whole.size(); ++length)
    EXPECT_FALSE(is_complete(whole.substr(0, length))) << length;
  EXPECT_TRUE(is_complete(whole));
  EXPECT_TRUE(is_complete("\x16\x03\x01\n"));
  EXPECT_FALSE(is_complete("\x16\x03\x01"));
}

TEST(HttpAnswer, HeadHasTheLengthAndNoBody) {
  const HttpAnswer answer{503, "no\n", "text/plain"};
  const std::string head = to_bytes(answer, false);
  EXPECT_TRUE(head.starts_with("HTTP/1.1 503 Service Unavailable\r\n")) << head;
  EXPECT_NE(head.find("\r\nContent-Length: 3\r\n"), std::string::npos);
  EXPECT_TRUE(head.ends_with("\r\n\r\n"));
  EXPECT_EQ(to_bytes(answer, true), head + "no\n");
}

}  // namespace
}  // namespace troupe::services
