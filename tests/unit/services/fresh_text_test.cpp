// A text is made for whoever asked before it was begun, and nobody waits for it.
#include "services/runtime/ops/fresh_text.hpp"

#include <gtest/gtest.h>

#include <semaphore>

namespace troupe::services {
namespace {

TEST(FreshText, WhoAsksWhileOneIsMadeGetsTheNext) {
  std::counting_semaphore<> begun(0), may_end(0), made(0);
  int count = 0;
  FreshText text(
      [&] {
        begun.release();
        may_end.acquire();
        return std::to_string(++count);
      },
      [&] { made.release(); });
  EXPECT_EQ(text.last(), "");
  const auto first = text.ask();
  begun.acquire();
  const auto second = text.ask();
  const auto third = text.ask();
  EXPECT_EQ(second, third) << "one text answers both";
  EXPECT_GT(second, first);
  EXPECT_FALSE(text.is_made(first));
  may_end.release();
  made.acquire();
  EXPECT_TRUE(text.is_made(first));
  EXPECT_FALSE(text.is_made(second));
  EXPECT_EQ(text.last(), "1");
  may_end.release();
  made.acquire();
  EXPECT_TRUE(text.is_made(second));
  EXPECT_EQ(text.last(), "2");
}

}  // namespace
}  // namespace troupe::services
