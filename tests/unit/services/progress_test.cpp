// Progress lines: amounts, rates and times as product and help describe them.
#include "services/runtime/progress.hpp"

#include <gtest/gtest.h>

namespace troupe::services {
namespace {

constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;

TEST(ProgressLine, ShowsBytesInTheUnitOfTheTotal) {
  // 31 of 61 layers of DeepSeek-V3 after 128 s: 320/642 GiB at 2.5 GiB/s leave 128.8 s.
  EXPECT_EQ(progress_line("loading layer 31/61", ProgressUnit::bytes, 320 * kGiB, 642 * kGiB, 128),
            "loading layer 31/61  320.0/642.0 GiB  2.5 GiB/s  ETA 2m9s");
  EXPECT_EQ(progress_line("casting", ProgressUnit::bytes, 512, 1000, 1),
            "casting  512/1000 B  512 B/s  ETA 1s");
  EXPECT_EQ(progress_line("casting", ProgressUnit::bytes, 512 * 1024, kGiB, 0.5),
            "casting  0.0/1.0 GiB  1.0 MiB/s  ETA 17m4s");
}

TEST(ProgressLine, ShowsTokens) {
  EXPECT_EQ(progress_line("prompt", ProgressUnit::tokens, 512, 4096, 2),
            "prompt  512/4096 tokens  256 tok/s  ETA 14s");
  EXPECT_EQ(progress_line("prompt", ProgressUnit::tokens, 1, 90'001, 1),
            "prompt  1/90001 tokens  1.0 tok/s  ETA 25h0m");
}

TEST(ProgressLine, HasNoRateBeforeAnythingIsDoneAndNoEtaAtTheEnd) {
  EXPECT_EQ(progress_line("prompt", ProgressUnit::tokens, 0, 8, 2), "prompt  0/8 tokens");
  EXPECT_EQ(progress_line("prompt", ProgressUnit::tokens, 8, 8, 2),
            "prompt  8/8 tokens  4.0 tok/s");
}

TEST(ProgressLine, HasNoRateForWhatTookATenthOfASecondAtMost) {
  EXPECT_EQ(progress_line("loading", ProgressUnit::bytes, 12 << 20, 12 << 20, 4e-7),
            "loading  12.0/12.0 MiB");
  EXPECT_EQ(progress_line("loading", ProgressUnit::bytes, 6 << 20, 12 << 20, 0.099),
            "loading  6.0/12.0 MiB");
  EXPECT_EQ(progress_line("loading", ProgressUnit::bytes, 6 << 20, 12 << 20, 0.1),
            "loading  6.0/12.0 MiB  60.0 MiB/s  ETA 0s");
}

TEST(HumanBytes, HaveOneDecimalFromAKibibyteOn) {
  EXPECT_EQ(human_bytes(1023), "1023 B");
  EXPECT_EQ(human_bytes(1024), "1.0 KiB");
  EXPECT_EQ(human_bytes(3 * kGiB / 2), "1.5 GiB");
}

}  // namespace
}  // namespace troupe::services
