// Buffers for frames that are used again, so that a busy link touches no new pages.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace troupe::transport {

namespace detail {
struct PoolState;
}

/// Bytes at a 64-byte boundary that go back to their pool when this is destroyed. Move-only; empty
/// by default and after a move. The address stays the same across moves.
/// *Threading*: one owner at a time; may be released on another thread than it was taken on, also
/// after its pool is gone.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer() { release(); }

  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::span<std::byte> span() { return {data_, size_}; }
  std::span<const std::byte> span() const { return {data_, size_}; }

 private:
  friend class BufferPool;
  void release();
  std::shared_ptr<detail::PoolState> home_;
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  int size_class_ = 0;
};

/// *Threading*: any thread; a short lock.
class BufferPool {
 public:
  static constexpr std::size_t kAlignment = 64;
  static constexpr std::size_t kKeptBytesMax = 64u << 20;
  /// What a frame that comes leaves to its loop: the lists that it makes of 256 rows of 8 experts.
  /// Small ones, which tell and ask for no work, need not leave anything.
  static constexpr std::size_t left_by_frame(std::size_t bytes) {
    return bytes <= (4u << 10) ? 0 : 256u << 10;
  }

  /// Keeps at most `kept_bytes_max` bytes of returned buffers; what comes home beyond is freed.
  explicit BufferPool(std::size_t kept_bytes_max = kKeptBytesMax);
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;
  ~BufferPool();

  /// A buffer of exactly `bytes` bytes with undefined contents (power-of-two size classes inside).
  /// *Errors*: throws std::bad_alloc where there is no memory for it, or a new one would not leave
  /// `left` bytes; nothing was taken then.
  Buffer take(std::size_t bytes, std::size_t left = 0);

  struct Stats {
    std::size_t kept_bytes = 0;    // in returned buffers
    std::size_t lent_buffers = 0;  // taken and not yet returned
    std::uint64_t allocations_total = 0;
    std::uint64_t reuses_total = 0;
  };
  Stats stats() const;

 private:
  std::shared_ptr<detail::PoolState> state_;
};

}  // namespace troupe::transport
