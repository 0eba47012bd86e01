// A level and a pool together: the operations split over threads, as the model layer calls them.
#pragma once
#include <span>

#include "kernels/compute_pool.hpp"
#include "kernels/registry.hpp"

namespace troupe::kernels {

/// What model code computes with. Cheap to copy; owns nothing.
/// *Threading*: any; a call returns when its work is done.
struct Engine {
  const KernelTable* table = nullptr;
  ComputePool* pool = nullptr;
  Bf16Sums bf16_sums = Bf16Sums::lanes;

  /// All output features of one linear, split over the pool by features.
  void linear(const LinearArgs& args) const;
  /// Many linears at once (experts, heads), split by output features over all of them together, so
  /// that one large member does not leave threads idle.
  void linears(std::span<const LinearArgs> group) const;
  /// All (row, head) pairs of many slices.
  void mla_attention(std::span<const MlaAttentionArgs> slices) const;
  void write_cache(const WriteCacheArgs& args) const;
  void rms_norm(const RmsNormArgs& args) const;
  void rope(const RopeArgs& args) const;
  void swiglu(const SwigluArgs& args) const;
  void quantise(const QuantiseArgs& args) const;
  void quantise_int8(const QuantiseInt8Args& args) const;
};

}  // namespace troupe::kernels
