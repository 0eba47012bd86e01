// Four choices of the bundled model, committed: the same seed gives the same texts in any year.
#include <gtest/gtest.h>

#include "actors/local_cluster.hpp"
#include "tests/support/actor_listener.hpp"
#include "tests/support/source_dir.hpp"

namespace troupe::actors {
namespace {

using Ids = std::vector<std::int32_t>;

Ids drawn(LocalCluster& cluster, std::uint32_t choice) {
  GenerateRequest request;
  for (std::int32_t id = 0; id < 24; ++id) request.prompt.push_back(id * 150);
  request.sampling = {.seed = 77, .max_tokens = 16, .ignore_eos = true, .choice = choice};
  request.choices = 4;
  const auto heard = std::make_shared<testing::Recorder>();
  const auto id = cluster.submit(std::move(request), heard);
  EXPECT_TRUE(id) << (id ? "" : id.error().detail);
  EXPECT_TRUE(heard->wait());
  return heard->tokens;
}

// Who has to change these ids gives every seeded request another answer: that needs a new numerics
// id (kernels::kKernelNumericsVersion).
TEST(SeededChoices, OfTheBundledModelArePinned) {
  const auto checkpoint =
      model::Checkpoint::open(std::string(kSourceDir) + "/examples/troupe-tiny");
  ASSERT_TRUE(checkpoint) << checkpoint.error().detail;
  const auto cluster = LocalCluster::start(*checkpoint, {.threads = 2});
  ASSERT_TRUE(cluster) << cluster.error().detail;
  const Ids pinned[]{
      {297, 294, 370, 3297, 343, 365, 508, 1554, 1786, 259, 14, 655, 359, 1065, 292, 262},
      {2783, 261, 1961, 14, 332, 2216, 403, 693, 929, 552, 292, 262, 526, 906, 377, 3111},
      {2660, 85, 332, 275, 463, 677, 85, 458, 16, 1, 4083, 346, 312, 262, 535, 270},
      {3254, 448, 465, 2857, 273, 1006, 85, 270, 2259, 1682, 16, 1, 4083, 424, 2503, 1040},
  };
  for (std::uint32_t choice = 0; choice < 4; ++choice)
    EXPECT_EQ(drawn(**cluster, choice), pinned[choice]) << "choice " << choice;
}

}  // namespace
}  // namespace troupe::actors
