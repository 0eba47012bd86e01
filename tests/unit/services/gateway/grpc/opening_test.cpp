// What begins a connection to a gRPC port, byte by byte.
#include "services/gateway/grpc/opening.hpp"

#include <gtest/gtest.h>

#include <random>

namespace troupe::services {
namespace {

const std::string kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const std::string kSettings("\0\0\x06\x04\0\0\0\0\0", 9);
const std::string kPlain = kPreface + kSettings;
const std::string kHello("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11);

TEST(Opening, IsDecidedByHttp2sPrefaceAndTheSettingsBehindIt) {
  ASSERT_EQ(kPlain.size(), opening_bytes(false));
  for (std::size_t bytes = 0; bytes < kPlain.size(); ++bytes)
    EXPECT_EQ(opening_of(kPlain.substr(0, bytes), false), Opening::incomplete) << bytes;
  EXPECT_EQ(opening_of(kPlain, false), Opening::proper);
  EXPECT_EQ(opening_of(kPlain + "whatever comes next", false), Opening::proper);
}

TEST(Opening, IsDecidedByTheHeadOfATlsHello) {
  for (std::size_t bytes = 0; bytes < opening_bytes(true); ++bytes)
    EXPECT_EQ(opening_of(kHello.substr(0, bytes), true), Opening::incomplete) << bytes;
  EXPECT_EQ(opening_of(kHello.substr(0, opening_bytes(true)), true), Opening::proper);
  EXPECT_EQ(opening_of(kHello, true), Opening::proper);
}

TEST(Opening, OfTheOtherKindIsForeign) {
  EXPECT_EQ(opening_of(kHello, false), Opening::foreign);
  EXPECT_EQ(opening_of(kPlain, true), Opening::foreign);
  EXPECT_EQ(opening_of("P", true), Opening::foreign);
}

TEST(Opening, OfHttp1IsForeignAtTheFirstByteThatDiffers) {
  EXPECT_EQ(opening_of("G", false), Opening::foreign);
  EXPECT_EQ(opening_of("P", false), Opening::incomplete);
  EXPECT_EQ(opening_of("PO", false), Opening::foreign);
  EXPECT_EQ(opening_of("POST / HTTP/1.1\r\n", false), Opening::foreign);
  EXPECT_EQ(opening_of("PRI * HTTP/1.1\r\n", false), Opening::foreign);
}

TEST(Opening, WithGarbageBehindThePrefaceIsForeign) {
  EXPECT_EQ(opening_of(kPreface + "GARBAGE", false), Opening::foreign);
  EXPECT_EQ(opening_of(kPreface + std::string("\0\0\0\x06", 4), false), Opening::foreign);  // PING
  EXPECT_EQ(opening_of(kPreface + std::string("\0\0\0\x04\0\0\0\0\x01", 9), false),
            Opening::foreign);  // SETTINGS of a stream
}

TEST(Opening, OfAnythingElseIsForeign) {
  constexpr unsigned kSeed = 20241226;
  std::mt19937 random(kSeed);
  for (int round = 0; round < 1000; ++round) {
    std::string bytes(opening_bytes(false), '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    for (const bool tls : {false, true}) {
      const bool may_begin = bytes[0] == (tls ? '\x16' : 'P');
      EXPECT_TRUE(may_begin || opening_of(bytes, tls) == Opening::foreign) << kSeed;
    }
  }
}

TEST(Opening, IsAnsweredInHttp1WithTheWayToTheOtherPort) {
  for (const bool tls : {false, true}) {
    const std::string answer = answer_to_foreign(tls);
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 400 ")) << answer;
    EXPECT_NE(answer.find("gRPC only here"), std::string::npos);
    EXPECT_NE(answer.find("gateway.http_listen"), std::string::npos);
    const auto body = answer.substr(answer.find("\r\n\r\n") + 4);
    EXPECT_NE(answer.find("Content-Length: " + std::to_string(body.size()) + "\r\n"),
              std::string::npos);
  }
}

}  // namespace
}  // namespace troupe::services
