// Free lists by size class behind BufferPool; returned buffers are poisoned where that is checked.
#include "transport/buffer_pool.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace troupe::transport {
namespace {

constexpr std::size_t kSmallestBytes = 512;  // below this a class of its own saves nothing
constexpr int kSizeClasses = 64;

int size_class_of(std::size_t bytes) {
  return static_cast<int>(std::bit_width(std::max(bytes, kSmallestBytes) - 1));
}
std::size_t class_bytes(int size_class) { return std::size_t{1} << size_class; }

/// From here on a read of the buffer is an error that ASan sees and a debug build makes visible.
void poison([[maybe_unused]] std::byte* data, [[maybe_unused]] std::size_t bytes) {
#if !defined(NDEBUG) || defined(__SANITIZE_ADDRESS__)
  std::memset(data, 0xef, bytes);
#endif
#if defined(__SANITIZE_ADDRESS__)
  ASAN_POISON_MEMORY_REGION(data, bytes);
#endif
}

/// Opens the first `bytes` of a buffer of `capacity` bytes; what lies behind stays poisoned.
void unpoison([[maybe_unused]] std::byte* data, [[maybe_unused]] std::size_t bytes,
              [[maybe_unused]] std::size_t capacity) {
#if defined(__SANITIZE_ADDRESS__)
  ASAN_UNPOISON_MEMORY_REGION(data, capacity);
  ASAN_POISON_MEMORY_REGION(data + bytes, capacity - bytes);
#endif
}

void free_bytes(std::byte* data, int size_class) {
  unpoison(data, class_bytes(size_class), class_bytes(size_class));
  ::operator delete (data, std::align_val_t{BufferPool::kAlignment});
}

}  // namespace

namespace detail {

struct PoolState {
  explicit PoolState(std::size_t max) : kept_bytes_max(max) {}
  ~PoolState() {
    for (int size_class = 0; size_class < kSizeClasses; ++size_class) {
      for (std::byte* data : free[size_class]) free_bytes(data, size_class);
    }
  }

  /// False: the list would have to grow and there is no memory for that.
  bool keep(std::byte* data, int size_class) noexcept {
    try {
      free[size_class].push_back(data);
      return true;
    } catch (const std::bad_alloc&) {
      return false;
    }
  }

  std::mutex mutex;
  std::vector<std::byte*> free[kSizeClasses];  // [size class]
  const std::size_t kept_bytes_max;
  BufferPool::Stats stats;
};

}  // namespace detail

Buffer::Buffer(Buffer&& other) noexcept
    : home_(std::move(other.home_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      size_class_(other.size_class_) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this == &other) return *this;
  release();
  home_ = std::move(other.home_);
  data_ = std::exchange(other.data_, nullptr);
  size_ = std::exchange(other.size_, 0);
  size_class_ = other.size_class_;
  return *this;
}

void Buffer::release() {
  if (data_ == nullptr) return;
  std::byte* data = std::exchange(data_, nullptr);
  const std::size_t bytes = class_bytes(size_class_);
  unpoison(data, bytes, bytes);
  poison(data, bytes);  // before another thread can take it
  bool keep;
  {
    std::lock_guard lock(home_->mutex);
    --home_->stats.lent_buffers;
    keep =
        home_->stats.kept_bytes + bytes <= home_->kept_bytes_max && home_->keep(data, size_class_);
    if (keep) home_->stats.kept_bytes += bytes;
  }
  if (!keep) free_bytes(data, size_class_);
  home_.reset();
  size_ = 0;
}

BufferPool::BufferPool(std::size_t kept_bytes_max)
    : state_(std::make_shared<detail::PoolState>(kept_bytes_max)) {}
BufferPool::~BufferPool() = default;

Buffer BufferPool::take(std::size_t bytes, std::size_t left) {
  Buffer buffer;
  buffer.home_ = state_;
  buffer.size_ = bytes;
  buffer.size_class_ = size_class_of(bytes);
  const std::size_t capacity = class_bytes(buffer.size_class_);
  {
    std::lock_guard lock(state_->mutex);
    auto& free = state_->free[buffer.size_class_];
    if (!free.empty()) {
      buffer.data_ = free.back();
      free.pop_back();
      state_->stats.kept_bytes -= capacity;
      ++state_->stats.reuses_total;
      ++state_->stats.lent_buffers;
    }
  }
  if (buffer.data_ == nullptr) {
    const std::align_val_t aligned{kAlignment};
    const std::unique_ptr<std::byte[]> others(left > 0 ? new std::byte[left] : nullptr);
    buffer.data_ = static_cast<std::byte*>(::operator new(capacity, aligned));
    std::lock_guard lock(state_->mutex);
    ++state_->stats.allocations_total;
    ++state_->stats.lent_buffers;
  }
  unpoison(buffer.data_, bytes, capacity);
  return buffer;
}

BufferPool::Stats BufferPool::stats() const {
  std::lock_guard lock(state_->mutex);
  return state_->stats;
}

}  // namespace troupe::transport
