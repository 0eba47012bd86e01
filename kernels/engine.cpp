// Splits operations into shares of comparable work and hands them to the pool.
#include "kernels/engine.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

#include "core/check.hpp"

namespace troupe::kernels {
namespace {

// Work is counted in multiply-adds. A share of 2^17 takes 5 to 50 us on one core: long against
// handing it over (about 1 us), short enough that the last share to finish is not waited for long.
constexpr std::int64_t kShareWork = 1 << 17;
/// Shares hold whole multiples of this many output features: two registers of AVX-512, which the
/// tiles of all kernels take at once.
constexpr std::int64_t kFeatureGrain = 32;

/// Large operations: so many shares a thread. The last one to finish is waited for.
constexpr std::int64_t kSharesPerThread = 8;

constexpr std::int64_t kPairsTogether = 24;

/// One range of one member of a group.
struct Part {
  std::size_t member = 0;
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

void run(ComputePool* pool, std::int64_t count, std::int64_t grain,
         const ComputePool::Share& share) {
  if (count <= 0) return;
  if (pool != nullptr) return pool->parallel_for(count, grain, share);
  const MxcsrGuard guard;
  share(0, count);
}

std::int64_t whole_grains(std::int64_t features) {
  return std::max(kFeatureGrain, (features + kFeatureGrain - 1) / kFeatureGrain * kFeatureGrain);
}

/// Items per share when one item costs `work`; a multiple of `unit`. Few threads get few shares.
std::int64_t share_size(std::int64_t count, std::int64_t work, std::int64_t unit, int threads) {
  const std::int64_t by_work = kShareWork / std::max<std::int64_t>(work, 1);
  const std::int64_t by_count = count / (kSharesPerThread * threads);
  const std::int64_t size = std::max({by_work, by_count, std::int64_t{1}});
  return (size + unit - 1) / unit * unit;
}

/// A number for LinearArgs::call.
std::uint64_t next_call() {
  static std::atomic<std::uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

bool same_input(const LinearArgs& a, const LinearArgs& b) {
  return a.x == b.x && a.x_codes == b.x_codes && a.tokens == b.tokens && a.w.cols == b.w.cols;
}

int threads_of(const ComputePool* pool) {
  return pool == nullptr ? 1 : std::max(pool->threads(), 1);
}

void append_parts(std::vector<Part>& parts, std::size_t member, std::int64_t count,
                  std::int64_t size) {
  for (std::int64_t begin = 0; begin < count; begin += size)
    parts.push_back({member, begin, std::min(begin + size, count)});
}

/// Row-wise operations: about 4 multiply-adds' time per element.
std::int64_t rows_per_share(std::int64_t rows, std::int64_t width, const ComputePool* pool) {
  return share_size(rows, 4 * width, 1, threads_of(pool));
}

}  // namespace

void Engine::linear(const LinearArgs& call) const {
  if (call.tokens <= 0 || call.w.rows <= 0) return;
  LinearArgs args = call;
  args.call = next_call();
  const std::int64_t size =
      share_size(args.w.rows, args.tokens * args.w.cols, kFeatureGrain, threads_of(pool));
  run(pool, args.w.rows, size, [&](std::int64_t begin, std::int64_t end) {
    linear_of(*table, args, bf16_sums)(args, begin, end);
  });
}

void Engine::linears(std::span<const LinearArgs> group) const {
  const std::uint64_t call = next_call();
  std::int64_t total = 0;
  for (const LinearArgs& args : group)
    total += std::max<std::int64_t>(args.tokens, 0) * args.w.cols * args.w.rows;
  // A thread that goes from one member's x to another's prepares that anew, so members are split
  // only as far as threads need it, and those of the same x are one share if they are no more.
  const std::int64_t work = std::max(kShareWork, total / (kSharesPerThread * threads_of(pool)));
  std::vector<Part> parts;
  std::vector<std::size_t> shares;  // the first part of each, and an end
  const LinearArgs* before = nullptr;
  std::int64_t held = 0;
  for (std::size_t i = 0; i < group.size(); ++i) {
    const LinearArgs& args = group[i];
    if (args.tokens <= 0) continue;
    const std::int64_t cost = std::max<std::int64_t>(args.tokens * args.w.cols, 1);
    std::size_t part = parts.size();
    append_parts(parts, i, args.w.rows, whole_grains(work / cost));
    for (; part < parts.size(); ++part) {
      const std::int64_t more = cost * (parts[part].end - parts[part].begin);
      const bool joins = before != nullptr && same_input(*before, args) && held + more <= work;
      if (!joins) shares.push_back(part);
      held = joins ? held + more : more;
      before = &args;
    }
  }
  if (parts.empty()) return;
  shares.push_back(parts.size());
  const auto count = static_cast<std::int64_t>(shares.size()) - 1;
  run(pool, count, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::size_t i = shares[static_cast<std::size_t>(begin)];
         i < shares[static_cast<std::size_t>(end)]; ++i) {
      LinearArgs args = group[parts[i].member];
      args.call = call;
      linear_of(*table, args, bf16_sums)(args, parts[i].begin, parts[i].end);
    }
  });
}

void Engine::mla_attention(std::span<const MlaAttentionArgs> slices) const {
  const auto keys_of = [](const MlaAttentionArgs& args) {
    return std::max<std::int64_t>(args.first_position + args.rows, 1);
  };
  std::int64_t total = 0;
  for (const MlaAttentionArgs& args : slices) total += args.rows * args.heads * keys_of(args);
  std::vector<Part> parts;
  for (std::size_t i = 0; i < slices.size(); ++i) {
    const MlaAttentionArgs& args = slices[i];
    const std::int64_t keys = keys_of(args);
    const std::int64_t pairs = args.rows * args.heads;
    // Pairs of one share convert the cache together: as many as leave every thread its part of the
    // work, that of the longest sequence among it.
    const std::int64_t together = std::min(kPairsTogether, total / threads_of(pool) / keys);
    append_parts(parts, i, pairs,
                 share_size(pairs, keys * (2 * args.latent + args.rope),
                            std::max<std::int64_t>(together, 1), threads_of(pool)));
  }
  run(pool, static_cast<std::int64_t>(parts.size()), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const Part& part = parts[static_cast<std::size_t>(i)];
      table->mla_attention(slices[part.member], part.begin, part.end);
    }
  });
}

void Engine::write_cache(const WriteCacheArgs& args) const {
  run(pool, args.rows, rows_per_share(args.rows, args.entry.width(), pool),
      [&](std::int64_t begin, std::int64_t end) { table->write_cache(args, begin, end); });
}

void Engine::rms_norm(const RmsNormArgs& args) const {
  run(pool, args.rows, rows_per_share(args.rows, args.width, pool),
      [&](std::int64_t begin, std::int64_t end) { table->rms_norm(args, begin, end); });
}

void Engine::rope(const RopeArgs& args) const {
  run(pool, args.rows, rows_per_share(args.rows, args.heads * args.rope, pool),
      [&](std::int64_t begin, std::int64_t end) { table->rope(args, begin, end); });
}

void Engine::swiglu(const SwigluArgs& args) const {
  run(pool, args.rows, rows_per_share(args.rows, args.width, pool),
      [&](std::int64_t begin, std::int64_t end) { table->swiglu(args, begin, end); });
}

void Engine::quantise(const QuantiseArgs& args) const {
  run(pool, args.rows, rows_per_share(args.rows, args.width, pool),
      [&](std::int64_t begin, std::int64_t end) { table->quantise(args, begin, end); });
}

void Engine::quantise_int8(const QuantiseInt8Args& args) const {
  run(pool, args.rows, rows_per_share(args.rows, args.width, pool),
      [&](std::int64_t begin, std::int64_t end) { table->quantise_int8(args, begin, end); });
}

}  // namespace troupe::kernels
