// Bump allocation over blocks that double in size.
#include "model/scratch.hpp"

#include <algorithm>
#include <new>

namespace troupe::model {
namespace {
constexpr std::int64_t kAlignBytes = 64;  // rows start on cache lines
constexpr std::int64_t kFirstBlock = 256 * 1024;
}  // namespace

std::byte* Scratch::take_bytes(std::int64_t count) {
  const std::int64_t size = (count + kAlignBytes - 1) / kAlignBytes * kAlignBytes;
  if (blocks_.empty() || blocks_.back().size - blocks_.back().used < size) {
    const std::int64_t grown = blocks_.empty() ? kFirstBlock : 2 * blocks_.back().size;
    const std::int64_t wanted = std::max(grown, size);
    blocks_.push_back({std::make_unique_for_overwrite<std::byte[]>(wanted), wanted, 0});
  }
  Block& block = blocks_.back();
  std::byte* data = block.data.get() + block.used;
  block.used += size;
  return data;
}

float* Scratch::take(std::int64_t count) {
  return reinterpret_cast<float*>(take_bytes(count * static_cast<std::int64_t>(sizeof(float))));
}

std::int8_t* Scratch::take_int8(std::int64_t count) {
  return reinterpret_cast<std::int8_t*>(take_bytes(count));
}

void Scratch::reset() noexcept {
  if (blocks_.size() > 1) {
    std::int64_t total = 0;
    for (const auto& block : blocks_) total += block.size;
    blocks_.clear();
    std::unique_ptr<std::byte[]> joined(new (std::nothrow) std::byte[total]);
    if (joined) blocks_.push_back({std::move(joined), total, 0});
  }
  if (!blocks_.empty()) blocks_.back().used = 0;
}

ScratchPool::Lease ScratchPool::lease() {
  std::lock_guard lock(mutex_);
  if (idle_.empty()) {
    idle_.reserve(++made_);  // so that all find room when they come back
    return {*this, std::make_unique<Scratch>()};
  }
  auto scratch = std::move(idle_.back());
  idle_.pop_back();
  return {*this, std::move(scratch)};
}

ScratchPool::Lease::~Lease() {
  scratch_->reset();
  std::lock_guard lock(pool_.mutex_);
  pool_.idle_.push_back(std::move(scratch_));
}

}  // namespace troupe::model
