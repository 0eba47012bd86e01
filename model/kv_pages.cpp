// The page pool: storage on first use, then a free list.
#include "model/kv_pages.hpp"

#include <cstdlib>
#include <string>

#include "core/check.hpp"
#include "model/memory_bounds.hpp"

namespace troupe::model {

void KvPool::Free::operator()(std::byte* p) const { std::free(p); }

KvPool::KvPool(Shape shape) : shape_(shape) {
  pages_.reserve(static_cast<std::size_t>(shape.pages_max));  // so that pages_ never moves
}

std::int64_t KvPool::page_bytes() const {
  return shape_.layers * kernels::kPageTokens * shape_.entry.bytes();
}

std::optional<PageId> KvPool::allocate() {
  if (!free_.empty()) {
    const PageId page = free_.back();
    free_.pop_back();
    ++used_;
    return page;
  }
  if (static_cast<std::int64_t>(pages_.size()) >= shape_.pages_max) return std::nullopt;
  const auto bytes = static_cast<std::size_t>(page_bytes() + 63) / 64 * 64;
  if (!system_has(bytes + kLeftByPages)) return std::nullopt;
  auto* memory = static_cast<std::byte*>(std::aligned_alloc(64, bytes));
  if (memory == nullptr) return std::nullopt;
  pages_.emplace_back(memory);
  ++used_;
  return static_cast<PageId>(pages_.size() - 1);
}

void KvPool::release(PageId page) {
  TROUPE_CHECK(page >= 0 && page < static_cast<PageId>(pages_.size()),
               "page " + std::to_string(page));
  free_.push_back(page);
  --used_;
}

std::byte* KvPool::layer_page(PageId page, std::int64_t layer) const {
  const auto layer_bytes = page_bytes() / shape_.layers;
  return pages_[static_cast<std::size_t>(page)].get() + layer * layer_bytes;
}

}  // namespace troupe::model
