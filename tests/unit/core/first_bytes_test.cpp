// What programs are taken for by their first bytes.
#include "core/first_bytes.hpp"

#include <gtest/gtest.h>

namespace troupe {
namespace {

TEST(FirstBytes, KnowsWhatIsOftenMet) {
  EXPECT_EQ(looks_like("GET / HTTP/1.1\r\n"), "an HTTP request");
  EXPECT_EQ(looks_like("POST /v1"), "an HTTP request");
  EXPECT_EQ(looks_like("PRI * HTTP/2.0\r\n\r\nSM"), "the hello of HTTP/2, as gRPC's");
  EXPECT_EQ(looks_like("\x16\x03\x01"), "a TLS hello");
  EXPECT_EQ(looks_like("SSH-2.0-OpenSSH"), "an SSH hello");
  EXPECT_TRUE(looks_like({"\x01\0\0\0", 4}).starts_with("CAF's own protocol"));
}

TEST(FirstBytes, ShowsAFewOfWhatItDoesNotKnow) {
  EXPECT_EQ(looks_like("\xff\n"), "bytes ff0a");
  EXPECT_EQ(looks_like(std::string(100, 'x')), "bytes 7878787878787878");
  EXPECT_EQ(looks_like("GE"), "bytes 4745");
}

}  // namespace
}  // namespace troupe
