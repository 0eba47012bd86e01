// Pages of the latent cache: 64 tokens of every layer, handed out by id and given back.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "kernels/ops/latent_cache.hpp"

namespace troupe::model {

using PageId = std::int32_t;

/// Owns the cache memory of one attention shard. Page memory is allocated when a page is first used
/// and kept for reuse. A page stores [layers][64] entries of one layout.
///
/// *Threading*: allocate and release on one thread; `layer_page` from any thread for pages that are
/// allocated (page storage never moves).
class KvPool {
 public:
  struct Shape {
    std::int64_t layers = 0;
    kernels::CacheEntry entry;
    std::int64_t pages_max = 0;
  };
  explicit KvPool(Shape shape);

  /// Nothing when all pages are in use, or a new one would not leave kLeftByPages.
  std::optional<PageId> allocate();
  void release(PageId page);

  std::byte* layer_page(PageId page, std::int64_t layer) const;
  const Shape& shape() const { return shape_; }
  std::int64_t pages_used() const { return used_; }
  std::int64_t page_bytes() const;
  static std::int64_t pages_for(std::int64_t tokens) {
    return (tokens + kernels::kPageTokens - 1) / kernels::kPageTokens;
  }

 private:
  struct Free {
    void operator()(std::byte* p) const;
  };
  Shape shape_;
  std::int64_t used_ = 0;
  std::vector<std::unique_ptr<std::byte[], Free>> pages_;  // [page id], storage address is stable
  std::vector<PageId> free_;
};

}  // namespace troupe::model
