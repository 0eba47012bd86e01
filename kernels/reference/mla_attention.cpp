// mla_attention in scalar code: splits of 256 positions, merged in ascending order (ADR 0001).
#include "kernels/ops/mla_attention.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "kernels/math.hpp"
#include "kernels/reference/canonical.hpp"
#include "kernels/reference/operations.hpp"

namespace troupe::kernels::reference {
namespace {

/// The cached latent and rope values of one position as F32, padded with +0.
void read_key(const MlaAttentionArgs& args, std::int64_t position, std::vector<float>& key) {
  const CacheEntry entry = args.entry();
  const auto* page = static_cast<const std::byte*>(args.pages[position / kPageTokens]);
  read_entry(entry, page + position % kPageTokens * entry.bytes(), key.data());
}

/// Softmax over some positions, not yet divided: maximum, sum of weights, weighted latents.
struct Partial {
  float max = 0;
  float sum = 0;
  std::vector<float> values;  // [latent]
};

/// Positions [begin, end) of one split.
Partial attend(const MlaAttentionArgs& args, const std::vector<float>& query, std::int64_t begin,
               std::int64_t end) {
  std::vector<float> key(query.size(), 0.0f);
  std::array<float, kSplitTokens> scores{};
  Partial part;
  part.values.assign(static_cast<std::size_t>(args.latent), 0.0f);
  for (std::int64_t j = begin; j < end; ++j) {
    read_key(args, j, key);
    Lanes lanes{};
    multiply_add(key.data(), query.data(), static_cast<std::int64_t>(query.size()), lanes);
    scores[static_cast<std::size_t>(j - begin)] = lane_tree(lanes) * args.scale;
  }
  part.max = *std::max_element(scores.begin(), scores.begin() + (end - begin));
  Lanes sums{};
  for (std::int64_t j = begin; j < end; ++j) {
    const float p = exp_f32(scores[static_cast<std::size_t>(j - begin)] - part.max);
    float& sum = sums[static_cast<std::size_t>((j - begin) % kLanes)];
    sum = sum + p;
    read_key(args, j, key);
    for (std::size_t d = 0; d < part.values.size(); ++d)
      part.values[d] = std::fma(p, key[d], part.values[d]);
  }
  part.sum = lane_tree(sums);
  return part;
}

/// `into` covers the positions before those of `next`.
void merge(Partial& into, const Partial& next) {
  const float max = std::max(into.max, next.max);
  const float a = exp_f32(into.max - max);
  const float b = exp_f32(next.max - max);
  into.max = max;
  into.sum = std::fma(next.sum, b, into.sum * a);
  for (std::size_t d = 0; d < into.values.size(); ++d)
    into.values[d] = std::fma(next.values[d], b, into.values[d] * a);
}

void attend_pair(const MlaAttentionArgs& args, std::int64_t pair) {
  const std::int64_t width = args.latent + args.rope;
  const std::int64_t keys = args.first_position + pair / args.heads + 1;
  std::vector<float> query(static_cast<std::size_t>(padded(width)), 0.0f);
  std::copy(args.q + pair * width, args.q + (pair + 1) * width, query.begin());
  Partial total = attend(args, query, 0, std::min(kSplitTokens, keys));
  for (std::int64_t begin = kSplitTokens; begin < keys; begin += kSplitTokens)
    merge(total, attend(args, query, begin, std::min(begin + kSplitTokens, keys)));
  const float inverse = 1.0f / total.sum;
  for (std::int64_t d = 0; d < args.latent; ++d)
    args.o[pair * args.latent + d] = total.values[static_cast<std::size_t>(d)] * inverse;
}

}  // namespace

void mla_attention(const MlaAttentionArgs& args, std::int64_t begin, std::int64_t end) {
  check_mla_attention(args);
  for (std::int64_t pair = begin; pair < end; ++pair) attend_pair(args, pair);
}

}  // namespace troupe::kernels::reference
