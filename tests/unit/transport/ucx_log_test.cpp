// UCX's own lines arrive where this process logs, and where they went before once it does not.
#include "transport/ucx/ucx_log.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <regex>
#include <string>
#include <vector>

#include "transport/descriptors.hpp"
#include "transport/ucx/ucx_link.hpp"

namespace troupe::transport {
namespace {

struct Line {
  UcxLogLevel level;
  std::string text;
  std::string source;
};

/// Makes UCX complain: no descriptor is left for its shared memory.
void run_out_of_descriptors() {
  BufferPool pool;
  UcxSettings settings;
  settings.options = {{"TLS", "posix,cma"}};
  const auto context = *UcxContext::make(settings, pool);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit tight = before;
  tight.rlim_cur = descriptor_use().open + 1;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &tight), 0);
  const auto link = UcxLink::make(*context);
  setrlimit(RLIMIT_NOFILE, &before);
  ASSERT_FALSE(link);
  EXPECT_EQ(link.error().code, Errc::resource_exhausted) << link.error().detail;
}

TEST(UcxLog, TakesTheLinesOfUcxWithLevelTextAndSource) {
  std::vector<Line> lines;
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  {
    const UcxLog log([&](UcxLogLevel level, std::string_view text, std::string_view source) {
      lines.push_back({level, std::string(text), std::string(source)});
    });
    run_out_of_descriptors();
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

TEST(UcxLog, LeavesUcxsOwnWayAfterItsEnd) {
  {
    const UcxLog log([](UcxLogLevel, std::string_view, std::string_view) {});
  }
  ::testing::internal::CaptureStdout();
  run_out_of_descriptors();
  const auto out = ::testing::internal::GetCapturedStdout();
  EXPECT_NE(out.find("UCX"), std::string::npos) << out;
}

}  // namespace
}  // namespace troupe::transport
