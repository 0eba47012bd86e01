// A safetensors header is accepted only if its entries tile the file exactly.
#include "model/checkpoint/safetensors.hpp"

#include <gtest/gtest.h>

#include <cstring>

#include "tests/support/tiny_checkpoint.hpp"

namespace troupe::model {
namespace {

using testing::TempDir;

/// A file with this header text and `data_bytes` of data.
std::string file_of(const std::string& header, std::size_t data_bytes) {
  std::string file(8, '\0');
  const std::uint64_t length = header.size();
  std::memcpy(file.data(), &length, 8);
  return file + header + std::string(data_bytes, 'x');
}

Expected<SafetensorsHeader> parse(const std::string& file) {
  return parse_safetensors_header(std::as_bytes(std::span(file)), file.size());
}

void expect_refused(const std::string& header, std::size_t data_bytes, Errc code,
                    const std::string& word) {
  const auto parsed = parse(file_of(header, data_bytes));
  ASSERT_FALSE(parsed) << header;
  EXPECT_EQ(parsed.error().code, code) << parsed.error().detail;
  EXPECT_NE(parsed.error().detail.find(word), std::string::npos) << parsed.error().detail;
}

std::string entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
}

TEST(Safetensors, AcceptsEntriesInAnyOrderWithPaddingAndMetadata) {
  const std::string header =
      R"({"b":)" + entry("F32", "[2,1]", "[3,11]") + R"(,"a":)" + entry("U8", "[3]", "[0,3]") +
      R"(,"s":)" + entry("BF16", "[]", "[11,13]") + R"(,"none":)" + entry("I64", "[0,5]", "[3,3]") +
      R"(,"__metadata__":{"format":"pt"}}    )";
  const auto parsed = parse(file_of(header, 13));
  ASSERT_TRUE(parsed) << parsed.error().detail;
  ASSERT_EQ(parsed->entries.size(), 4u);
  EXPECT_EQ(parsed->entries[0].name, "a");
  EXPECT_EQ(parsed->entries[3].name, "s");
  EXPECT_EQ(parsed->data_start, 8 + header.size());
  EXPECT_TRUE(parse(file_of("{}", 0)));
}

TEST(Safetensors, RefusesLengthsThatDoNotFit) {
  EXPECT_EQ(parse("").error().code, Errc::truncated);
  EXPECT_EQ(parse("1234567").error().code, Errc::truncated);
  EXPECT_EQ(parse(std::string(8, '\xff')).error().code, Errc::malformed);
  EXPECT_EQ(parse(std::string("\x01\xe1\xf5\x05\0\0\0\0", 8)).error().code, Errc::malformed)
      << "100,000,001 bytes";
  EXPECT_EQ(parse(std::string("\x00\xe1\xf5\x05\0\0\0\0", 8)).error().code, Errc::truncated)
      << "100,000,000 bytes";
  const std::string whole = file_of(R"({"a":)" + entry("U8", "[4]", "[0,4]") + "}", 4);
  ASSERT_TRUE(parse(whole));
  for (std::size_t length = 0; length < whole.size(); ++length)
    EXPECT_EQ(parse(whole.substr(0, length)).error().code, Errc::truncated) << length;
  EXPECT_EQ(parse(whole + "y").error().code, Errc::malformed);
}

TEST(Safetensors, NeedsOnlyTheHeaderBytesOfTheFile) {
  const std::string whole = file_of(R"({"a":)" + entry("U8", "[4]", "[0,4]") + "}", 4);
  const std::span bytes = std::as_bytes(std::span(whole));
  EXPECT_TRUE(parse_safetensors_header(bytes.first(bytes.size() - 4), whole.size()));
  EXPECT_FALSE(parse_safetensors_header(bytes.first(bytes.size() - 5), whole.size()));
}

TEST(Safetensors, RefusesOverlapsGapsAndWrongSizes) {
  const std::string a = R"({"a":)" + entry("U8", "[4]", "[0,4]") + R"(,"b":)";
  expect_refused(a + entry("U8", "[4]", "[3,7]") + "}", 7, Errc::malformed, "overlapping");
  expect_refused(a + entry("U8", "[4]", "[0,4]") + "}", 4, Errc::malformed, "overlapping");
  expect_refused(a + entry("U8", "[4]", "[5,9]") + "}", 9, Errc::malformed, "gap");
  expect_refused(a + entry("U8", "[4]", "[4,8]") + "}", 7, Errc::truncated, "\"b\"");
  expect_refused(a + entry("U8", "[4]", "[4,8]") + "}", 9, Errc::malformed, "follow the last");
  expect_refused(a + entry("U8", "[5]", "[4,8]") + "}", 8, Errc::malformed, "needs 5");
  expect_refused(a + entry("F32", "[4]", "[4,8]") + "}", 8, Errc::malformed, "needs 16");
  expect_refused(a + entry("U8", "[4]", "[8,4]") + "}", 8, Errc::malformed, "ascending");
}

TEST(Safetensors, RefusesNumbersThatAreNotCounts) {
  const auto one = [](const std::string& shape, const std::string& offsets) {
    return R"({"a":)" + entry("U8", shape, offsets) + "}";
  };
  for (const char* shape : {"[-4]", "[4.0]", "[\"4\"]", "4", "null", "[true]", "[1e1]",
                            "[18446744073709551615]", "[1,1,1,1,1,1,1,1,4]"})
    expect_refused(one(shape, "[0,4]"), 4, Errc::malformed, "\"a\"");
  for (const char* offsets : {"[0]", "[0,4,4]", "[-4,0]", "[0,4.0]", "4", "null", "{}"})
    expect_refused(one("[4]", offsets), 4, Errc::malformed, "\"a\"");
  // 2^32 * 2^32 * 2^2 wraps to 0 in 64 bits.
  expect_refused(one("[4294967296,4294967296,4]", "[0,0]"), 0, Errc::malformed, "64 bits");
}

TEST(Safetensors, RefusesHeadersThatAreNotTheFormat) {
  expect_refused("[]", 0, Errc::malformed, "{");
  expect_refused(" {}", 0, Errc::malformed, "{");
  expect_refused("{\"a\":3}", 0, Errc::malformed, "dtype");
  expect_refused("{\"a\":{}}", 0, Errc::malformed, "dtype");
  expect_refused("{\"a\"", 0, Errc::malformed, "JSON");
  expect_refused(R"({"a":)" + entry("F4", "[2]", "[0,1]") + "}", 1, Errc::unsupported, "F4");
  expect_refused(R"({"__metadata__":{"n":1}})", 0, Errc::malformed, "__metadata__");
  expect_refused(R"({"__metadata__":[]})", 0, Errc::malformed, "__metadata__");
  const std::string a = R"("a":)" + entry("U8", "[0]", "[0,0]");
  expect_refused("{" + a + "," + a + "}", 0, Errc::malformed, "twice");
  expect_refused("{\"a\":" + std::string(100'000, '['), 0, Errc::malformed, "deeper");
}

TEST(Safetensors, ErrorsOfAFileNameIt) {
  TempDir dir;
  EXPECT_EQ(SafetensorsFile::open(dir / "none").error().code, Errc::not_found);
  EXPECT_EQ(SafetensorsFile::open(dir.path()).error().code, Errc::malformed);
  testing::write_bytes(dir / "empty", "");
  testing::write_bytes(dir / "short", "{}");
  for (const char* name : {"none", "empty", "short"}) {
    const auto file = SafetensorsFile::open(dir / name);
    ASSERT_FALSE(file);
    EXPECT_NE(file.error().detail.find((dir / name).string()), std::string::npos)
        << file.error().detail;
  }
}

}  // namespace
}  // namespace troupe::model
