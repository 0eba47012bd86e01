// What a thread has kept of an input is found by the same input of the same call and by no other.
#include "kernels/cpu/scratch.hpp"

#include <gtest/gtest.h>

#include <cstdint>

#include "tests/unit/kernels/call_numbers.hpp"

namespace troupe::kernels::cpu {
namespace {

constexpr char kForm = 0;

InputKey key_of(std::uint64_t call) {
  LinearArgs args;
  args.call = call;
  return {args, &kForm};
}

TEST(Scratch, FindsWhatWasKeptOfANumberedCall) {
  const InputKey key = key_of(next_call_number());
  const InputMemory memory = input_memory(100, key);
  EXPECT_FALSE(memory.prepared);
  EXPECT_FALSE(input_is_prepared(key));
  keep_input(key);
  EXPECT_TRUE(input_is_prepared(key));
  EXPECT_TRUE(input_memory(100, key).prepared);
  EXPECT_EQ(input_memory(100, key).floats, memory.floats);
  keep_input(key_of(0));
  EXPECT_FALSE(input_is_prepared(key_of(0)));
}

TEST(Scratch, KeepsNothingOnceItsMemoryWasGivenAway) {
  const InputKey key = key_of(next_call_number());
  input_memory(100, key);
  keep_input(key);
  input_memory(50, key_of(next_call_number()));  // which keeps nothing, as where memory runs out
  EXPECT_FALSE(input_memory(100, key).prepared);
}

}  // namespace
}  // namespace troupe::kernels::cpu
