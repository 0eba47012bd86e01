// Growing aligned buffers of each thread.
#include "kernels/cpu/scratch.hpp"

#include <cstddef>
#include <new>
#include <optional>
#include <span>

#include "kernels/huge_pages.hpp"

namespace troupe::kernels::cpu {
namespace {

constexpr std::align_val_t kLine{64};

/// Memory of its own for each use, as long as the thread lives.
class Buffer {
 public:
  Buffer() = default;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { release(); }

  float* data() const { return floats_; }
  std::size_t size() const { return size_; }
  void grow(std::size_t size) {
    if (size <= size_) return;
    release();
    // What is read again and again in large pieces is worth large pages: pages of 4 KB fall on the
    // sets of the level-2 cache by chance, some of which then are too few. The system has only
    // whole ones.
    std::size_t bytes = size * sizeof(float);
    const bool large = bytes >= kHugePageBytes / 2;
    if (large) bytes = (bytes + kHugePageBytes - 1) / kHugePageBytes * kHugePageBytes;
    alignment_ = large ? std::align_val_t{kHugePageBytes} : kLine;
    floats_ = static_cast<float*>(::operator new[](bytes, alignment_));
    size_ = bytes / sizeof(float);
    if (large) ask_for_huge_pages(std::as_bytes(std::span(floats_, size_)));
  }

 private:
  void release() {
    if (floats_ != nullptr) ::operator delete[](floats_, alignment_);
    floats_ = nullptr;
    size_ = 0;
  }

  float* floats_ = nullptr;
  std::size_t size_ = 0;
  std::align_val_t alignment_ = kLine;
};

thread_local Buffer working;
thread_local Buffer input;
thread_local std::optional<InputKey> prepared;

}  // namespace

float* scratch(std::size_t floats) {
  working.grow(floats);
  return working.data();
}

InputKey::InputKey(const LinearArgs& args, const void* form, std::size_t first)
    : call(args.call),
      form(form),
      first(first),
      x(args.x_codes == nullptr ? static_cast<const void*>(args.x) : args.x_codes),
      scales(args.x_scales),
      order(args.w.column_order),
      stride(args.x_stride),
      rows(args.tokens),
      columns(args.w.cols) {}

bool input_is_prepared(const InputKey& key) { return key.call != 0 && prepared == key; }

InputMemory input_memory(std::size_t floats, const InputKey& key) {
  if (input_is_prepared(key) && floats <= input.size()) return {input.data(), true};
  prepared.reset();
  input.grow(floats);
  return {input.data(), false};
}

void keep_input(const InputKey& key) { prepared = key; }

}  // namespace troupe::kernels::cpu
