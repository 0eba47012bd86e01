// What the headers say about a body, and every way of saying it that two servers read differently.
#include "services/gateway/http/request_head.hpp"

#include <gtest/gtest.h>

namespace troupe::services::http {
namespace {

BodyFraming framing_of(const std::string& headers) {
  return check_framing("POST /v1/completions HTTP/1.1\r\nHost: x\r\n" + headers + "\r\n", 1000);
}

TEST(RequestHead, ReadsLengthsAndChunks) {
  const BodyFraming none = framing_of("");
  EXPECT_FALSE(none.present || none.chunked || none.refused);
  const BodyFraming sized = framing_of("content-LENGTH: \t1000 \r\nContent-Encoding: Identity\r\n");
  EXPECT_TRUE(sized.present && !sized.chunked && !sized.refused);
  EXPECT_EQ(sized.bytes, 1000u);
  const BodyFraming empty = framing_of("Content-Length: 0\r\nX-Empty:\r\n");
  EXPECT_FALSE(empty.present || empty.chunked || empty.refused);
  const BodyFraming chunked = framing_of("Transfer-Encoding: Chunked\r\n");
  EXPECT_TRUE(chunked.present && chunked.chunked && !chunked.refused);
}

TEST(RequestHead, RefusesWhatTwoServersCouldReadDifferently) {
  for (const std::string headers :
       {"Content-Length: 2\r\nContent-Length: 2\r\n", "Content-Length: 2, 2\r\n",
        "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", "Content-Length: -1\r\n",
        "Content-Length: +2\r\n", "Content-Length: 0x2\r\n", "Content-Length: %32\r\n",
        "Content-Length:\r\n", "Content-Length:\r\n 2\r\n", "Content-Length : 2\r\n",
        "X: a\r\n\tContent-Length: 2\r\n", "Content-Length\r\n", "Content-Length: \v2\r\n",
        "Transfer-Encoding: %63hunked\r\n", "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding:\r\n", "X: a\rContent-Length: 2\r\n", ": 2\r\n"}) {
    const BodyFraming framing = framing_of(headers);
    ASSERT_TRUE(framing.refused) << headers;
    EXPECT_EQ(framing.refused->status, 400) << headers;
    EXPECT_FALSE(framing.refused->message.empty()) << headers;
  }
  EXPECT_TRUE(framing_of("X: a" + std::string(1, '\0') + "\r\n").refused);
}

TEST(RequestHead, RefusesBodiesThatAreNotServed) {
  EXPECT_EQ(framing_of("Content-Length: 1001\r\n").refused->status, 413);
  EXPECT_EQ(framing_of("Content-Encoding: identity\r\nContent-Encoding: br\r\n").refused->status,
            415);
  EXPECT_EQ(framing_of("Content-Type: Multipart/form-data\r\n").refused->status, 415);
}

TEST(RequestHead, ValuesAreAsTheyCame) {
  const std::string head =
      "POST /Key: HTTP/1.1\r\nkEY: \t%41 b \r\nKeys: c\r\nKey:\r\n\r\nKey: body\r\n";
  EXPECT_EQ(values_of(head, "Key"), (std::vector<std::string>{"%41 b", ""}));
  EXPECT_TRUE(values_of(head, "Ke").empty());
  EXPECT_TRUE(values_of("", "Key").empty());
}

}  // namespace
}  // namespace troupe::services::http
