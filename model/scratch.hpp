// Working memory of a computation: taken piece by piece, given back all at once, kept for reuse.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace troupe::model {

/// A bump allocator of F32 and INT8 arrays. Contents are uninitialised; pointers stay valid until
/// `reset`. *Threading*: one thread at a time.
class Scratch {
 public:
  float* take(std::int64_t count);
  std::int8_t* take_int8(std::int64_t count);
  /// Forgets what was taken and keeps the memory, joined into one block if there were several and
  /// there is memory for that one.
  void reset() noexcept;

 private:
  struct Block {
    std::unique_ptr<std::byte[]> data;
    std::int64_t size = 0;
    std::int64_t used = 0;
  };
  std::byte* take_bytes(std::int64_t count);
  std::vector<Block> blocks_;
};

/// Scratches for functions that several jobs run at once. *Threading*: any.
class ScratchPool {
 public:
  class Lease {
   public:
    Lease(ScratchPool& pool, std::unique_ptr<Scratch> scratch)
        : pool_(pool), scratch_(std::move(scratch)) {}
    Lease(const Lease&) = delete;
    ~Lease();
    Scratch& operator*() const { return *scratch_; }

   private:
    ScratchPool& pool_;
    std::unique_ptr<Scratch> scratch_;
  };
  Lease lease();

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<Scratch>> idle_;
  std::size_t made_ = 0;
};

}  // namespace troupe::model
