// Buckets of the histogram that roles count with.
#include "core/histogram.hpp"

#include <gtest/gtest.h>

namespace troupe {
namespace {

TEST(Histogram, ABoundBelongsToItsOwnBucket) {
  Histogram histogram(kBatchBounds);
  histogram.observe(1);
  histogram.observe(1.5);
  histogram.observe(16384);
  histogram.observe(16385, 2);
  const auto counts = histogram.counts();
  ASSERT_EQ(counts.size(), kBatchBounds.size() + 1);
  EXPECT_EQ(counts[0], 1u);
  EXPECT_EQ(counts[1], 1u);
  EXPECT_EQ(counts[7], 1u);
  EXPECT_EQ(counts[8], 2u);
  EXPECT_EQ(histogram.count(), 5u);
  EXPECT_DOUBLE_EQ(histogram.sum(), 1 + 1.5 + 16384 + 2 * 16385);
}

TEST(Histogram, TakesDurationsInSeconds) {
  Histogram histogram(kMicroBounds);
  histogram.observe(std::chrono::microseconds(10));
  histogram.observe(std::chrono::seconds(1));
  EXPECT_EQ(histogram.counts().front(), 1u);
  EXPECT_EQ(histogram.counts().back(), 1u);
  EXPECT_DOUBLE_EQ(histogram.sum(), 1.00001);
}

TEST(Histogram, SinceTellsWhatIsNewAndSurvivesARestart) {
  Histogram before(kLatencyBounds);
  before.observe(0.002, 3);
  Histogram after = before;
  after.observe(0.002);
  after.observe(100);
  EXPECT_EQ(after.since(before).count(), 2u);
  EXPECT_EQ(after.since({}).count(), 5u);
  Histogram anew(kLatencyBounds);
  anew.observe(0.5);
  EXPECT_EQ(anew.since(before).count(), 1u);
  Histogram sum(kLatencyBounds);
  sum.add(after);
  sum.add(anew);
  EXPECT_EQ(sum.count(), 6u);
  EXPECT_EQ(sum.since(after).count(), 1u);
}

TEST(Histogram, BoundsAscendAndFit) {
  for (const std::span<const double> bounds :
       {std::span<const double>(kLatencyBounds), std::span<const double>(kMicroBounds),
        std::span<const double>(kBatchBounds)}) {
    EXPECT_LE(bounds.size(), Histogram::kBoundsMax);
    EXPECT_TRUE(std::is_sorted(bounds.begin(), bounds.end()));
  }
}

}  // namespace
}  // namespace troupe
