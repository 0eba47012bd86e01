// Bytes add up, and a layer counts as loaded when nothing of it is left in any role.
#include "model/load_progress.hpp"

#include <gtest/gtest.h>

#include "model/expert_model.hpp"
#include "model/router_model.hpp"
#include "tests/support/source_dir.hpp"

namespace troupe::model {
namespace {

TEST(LoadProgress, ALayerIsDoneWhenNothingOfItIsLeft) {
  LoadProgress progress;
  progress.expect("model.embed_tokens.weight", 5);
  progress.expect("model.layers.0.mlp.up_proj.weight", 10);
  progress.expect("model.layers.0.mlp.down_proj.weight", 20);
  progress.expect("model.layers.11.mlp.gate.weight", 30);
  progress.finish("model.layers.0.mlp.up_proj.weight", 10);
  auto now = progress.snapshot();
  EXPECT_EQ(now.layers_done, 0);
  EXPECT_EQ(now.layers_total, 2);
  EXPECT_EQ(now.bytes_done, 10u);
  EXPECT_EQ(now.bytes_total, 65u);
  progress.finish("model.layers.0.mlp.down_proj.weight", 20);
  progress.finish("model.embed_tokens.weight", 5);
  now = progress.snapshot();
  EXPECT_EQ(now.layers_done, 1);
  EXPECT_EQ(now.bytes_done, 35u);
}

TEST(LoadProgress, APartCountsForTheWholeToo) {
  const auto whole = std::make_shared<LoadProgress>();
  LoadProgress first(whole), second(whole);
  first.expect("model.layers.1.mlp.gate.weight", 10);
  second.expect("model.layers.1.mlp.up_proj.weight", 20);
  first.finish("model.layers.1.mlp.gate.weight", 10);
  EXPECT_EQ(first.snapshot().layers_done, 1);
  EXPECT_EQ(second.snapshot().bytes_done, 0u);
  EXPECT_EQ(whole->snapshot().layers_done, 0);
  EXPECT_EQ(whole->snapshot().bytes_done, 10u);
  EXPECT_EQ(whole->snapshot().bytes_total, 30u);
}

TEST(LoadProgress, EveryByteOfARoleIsReported) {
  const auto checkpoint =
      Checkpoint::open(std::string(troupe::kSourceDir) + "/tests/goldens/v3-mini/model");
  ASSERT_TRUE(checkpoint) << checkpoint.error().detail;
  kernels::ComputePool pool({2, 16});
  const kernels::Engine engine{*kernels::select_level("auto"), &pool};
  LoadProgress progress;
  ASSERT_TRUE(RouterModel::load(*checkpoint, {}, engine, &progress));
  const auto gates = progress.snapshot();
  EXPECT_GT(gates.bytes_total, 0u);
  const std::int64_t experts = checkpoint->config().routed_experts;
  ASSERT_TRUE(ExpertModel::load(*checkpoint, {}, engine, {0, experts}, &progress));
  const auto all = progress.snapshot();
  EXPECT_GT(all.bytes_total, gates.bytes_total);
  EXPECT_EQ(all.bytes_done, all.bytes_total);
  EXPECT_EQ(all.layers_done, all.layers_total);
  EXPECT_EQ(all.layers_total, gates.layers_total) << "the MoE layers, each once";
}

}  // namespace
}  // namespace troupe::model
