// One growing aligned buffer per thread.
#include "kernels/cpu/scratch.hpp"

#include <memory>
#include <new>

namespace troupe::kernels::cpu {
namespace {

constexpr std::align_val_t kAlignment{64};

struct Release {
  void operator()(float* floats) const { ::operator delete[](floats, kAlignment); }
};

struct Buffer {
  std::unique_ptr<float, Release> floats;
  std::size_t size = 0;
};

thread_local Buffer buffer;

}  // namespace

float* scratch(std::size_t floats) {
  if (floats > buffer.size) {
    buffer.floats.reset(static_cast<float*>(::operator new[](floats * sizeof(float), kAlignment)));
    buffer.size = floats;
  }
  return buffer.floats.get();
}

}  // namespace troupe::kernels::cpu
