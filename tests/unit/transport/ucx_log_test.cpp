// UCX's own lines arrive where this process logs, and where they went before once it does not.
#include "transport/ucx/ucx_log.hpp"

#include <gtest/gtest.h>

#include <regex>
#include <string>
#include <vector>

#include "transport/ucx/ucx_link.hpp"

namespace troupe::transport {
namespace {

struct Line {
  UcxLogLevel level;
  std::string text;
  std::string source;
};

/// Makes UCX complain.
void give_ucx_a_wrong_option() {
  BufferPool pool;
  UcxSettings settings;
  settings.options = {{"KEEPALIVE_INTERVAL", "soon"}};
  ASSERT_FALSE(UcxContext::make(settings, pool));
}

TEST(UcxLog, TakesTheLinesOfUcxWithLevelTextAndSource) {
  std::vector<Line> lines;
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  {
    const UcxLog log([&](UcxLogLevel level, std::string_view text, std::string_view source) {
      lines.push_back({level, std::string(text), std::string(source)});
    });
    give_ucx_a_wrong_option();
  }
  const auto out = ::testing::internal::GetCapturedStdout();
  const auto err = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(out.find("UCX"), std::string::npos) << out;
  EXPECT_EQ(err.find("UCX"), std::string::npos) << err;
  ASSERT_FALSE(lines.empty());
  bool errors = false;
  for (const auto& line : lines) {
    errors |= line.level == UcxLogLevel::error;
    EXPECT_FALSE(line.text.empty());
    EXPECT_TRUE(std::regex_match(line.source, std::regex(R"(\w+\.c:\d+)"))) << line.source;
  }
  EXPECT_TRUE(errors);
}

TEST(UcxLog, HidesTheLinesThatAreMadeForTheSakeOfStrangers) {
  std::vector<Line> lines;
  const auto take = [&](UcxLogLevel level, std::string_view text, std::string_view source) {
    lines.push_back({level, std::string(text), std::string(source)});
  };
  const auto use_ucx = [] {
    BufferPool pool;
    EXPECT_TRUE(UcxContext::make(UcxSettings{}, pool));
  };
  ::testing::internal::CaptureStdout();
  {
    const UcxLog log(take, [](const UcxStranger&) { FAIL() << "nobody came"; });
    use_ucx();
  }
  use_ucx();  // as before: the level is the user's again
  const auto out = ::testing::internal::GetCapturedStdout();
  EXPECT_EQ(out, "");
  for (const auto& line : lines) EXPECT_NE(line.level, UcxLogLevel::debug) << line.text;
}

TEST(UcxLog, LeavesUcxsOwnWayAfterItsEnd) {
  {
    const UcxLog log([](UcxLogLevel, std::string_view, std::string_view) {});
  }
  ::testing::internal::CaptureStdout();
  give_ucx_a_wrong_option();
  const auto out = ::testing::internal::GetCapturedStdout();
  EXPECT_NE(out.find("UCX"), std::string::npos) << out;
}

}  // namespace
}  // namespace troupe::transport
