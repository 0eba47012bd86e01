// Working memory of one compute thread, kept between calls.
#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/ops/linear.hpp"

namespace troupe::kernels::cpu {

/// At least `floats` floats, aligned to 64 bytes, contents undefined. Valid until this thread's
/// next call: an operation asks once and divides what it gets.
float* scratch(std::size_t floats);

/// Which rows of which input a thread has prepared, and how.
struct InputKey {
  /// `form`: an address that stands for the way in which x is prepared.
  InputKey(const LinearArgs& args, const void* form, std::size_t first = 0);
  bool operator==(const InputKey&) const = default;

  std::uint64_t call;  // LinearArgs::call
  const void* form;
  std::size_t first;  // row
  const void* x;
  const void* scales;
  const void* order;  // of columns
  std::int64_t stride;
  std::int64_t rows;
  std::int64_t columns;
};

/// Memory for prepared input, apart from `scratch` and as long valid.
struct InputMemory {
  float* floats = nullptr;
  bool prepared = false;  // what keep_input was told of is there; else undefined
};
/// At least `floats` floats, aligned to 64 bytes, for the input of `key`. All shares of a numbered
/// call that a thread takes one after the other find there what the first of them kept.
InputMemory input_memory(std::size_t floats, const InputKey& key);
/// What input_memory gave last holds the input of `key` from now on.
void keep_input(const InputKey& key);
/// Whether input_memory would find it prepared.
bool input_is_prepared(const InputKey& key);

}  // namespace troupe::kernels::cpu
