// What a router's compute jobs do with rows, and how rows become ExpertRows frames.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "actors/router/dispatch_ledger.hpp"
#include "kernels/engine.hpp"
#include "model/router_model.hpp"

namespace troupe::actors::row_work {

/// To unpack, pack or quantise an element takes about as long as this many multiply-adds.
inline constexpr std::int64_t kConversions = 4;

// --- how much the jobs below do, in multiply-adds ---
/// [rows, H] x [H, experts], each row unpacked and quantised.
inline std::int64_t gate_work(const model::ModelConfig& config, std::int64_t rows) {
  return rows * config.hidden_size * (config.routed_experts + kConversions);
}
/// K replies of every row unpacked and added.
inline std::int64_t combine_work(const model::ModelConfig& config, std::int64_t rows) {
  return rows * config.hidden_size * (config.experts_per_token + 1) * kConversions;
}

// --- what they take, in bytes ---
std::size_t gate_bytes(const transport::ReceivedFrame& frame, bool quantise);
struct CombineInput;
std::size_t combine_bytes(const model::ModelConfig& config, const CombineInput& input);

// --- compute jobs; `frame` carries Rows ---
model::Routing gate(const model::RouterModel& model, const kernels::Engine& engine,
                    const transport::ReceivedFrame& frame);
/// The rows as e4m3_block128 block: quantised once here, for every expert that gets them.
transport::Buffer quantise(const model::RouterModel& model, const kernels::Engine& engine,
                           const transport::ReceivedFrame& frame, transport::BufferPool& buffers);

struct CombineInput {
  std::int64_t rows = 0;
  proto::WireDtype dtype = proto::WireDtype::bf16;
  model::Routing routing;
  std::vector<const std::byte*> replies;                          // [rows * K], packed rows
  std::vector<std::shared_ptr<transport::ReceivedFrame>> frames;  // that `replies` look into
};
/// Weighted sums [rows, H] in the row dtype, in ascending order of expert id.
transport::Buffer combine(const model::RouterModel& model, const kernels::Engine& engine,
                          const CombineInput& input, transport::BufferPool& buffers);

// --- the loop ---
/// The frame of a dispatch; its rows stay where they are, in the item's frame or quantised block.
transport::OutgoingFrame expert_rows(const proto::FrameHeader& header, const Dispatch& dispatch,
                                     const RouterItem& item, transport::BufferPool& buffers);

}  // namespace troupe::actors::row_work
