// Lines about strangers: what is in them, and how many at most.
#include "services/runtime/ports/stranger_log.hpp"

#include <gtest/gtest.h>

namespace troupe::services {
namespace {

class StrangerLogTest : public ::testing::Test {
 protected:
  void tell(std::string_view port, const std::string& host) {
    strangers_.tell({port, {host, 5000}, "foreign", "it sent an HTTP request"});
  }
  std::vector<std::string> lines_;
  Logger log_{{"gateway", 1}, Logger::Format::json, LogLevel::info, [this](std::string_view line) {
                lines_.emplace_back(line);
              }};
  StrangerLog strangers_{log_};
};

TEST_F(StrangerLogTest, SaysWhereWhoAndWhat) {
  tell("grpc", "192.0.2.7");
  ASSERT_EQ(lines_.size(), 1u);
  for (const char* part :
       {R"("level":"warning")", R"("event":"stranger_refused")", R"("port":"grpc")",
        R"("reason":"foreign")", R"("address":"192.0.2.7:5000")",
        R"("detail":"it sent an HTTP request")"})
    EXPECT_NE(lines_[0].find(part), std::string::npos) << lines_[0];
  EXPECT_EQ(lines_[0].find("not_told"), std::string::npos);
}

TEST_F(StrangerLogTest, IsBoundedForEachPortAndSaysWhatItLeftOut) {
  for (int i = 0; i < 200; ++i) tell("grpc", "192.0.2.7");
  EXPECT_EQ(lines_.size(), 5u);
  tell("http", "192.0.2.7");
  ASSERT_EQ(lines_.size(), 6u) << "another port is another's business";
  tell("grpc", "192.0.2.8");
  ASSERT_EQ(lines_.size(), 7u);
  EXPECT_NE(lines_[6].find(R"("refusals_not_told":195)"), std::string::npos) << lines_[6];
}

}  // namespace
}  // namespace troupe::services
