// Which memory asks for large pages.
#include "kernels/huge_pages.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "tests/support/vm_flags.hpp"

namespace troupe::kernels {
namespace {

using Bytes = std::vector<std::byte, HugePageAllocator<std::byte>>;

bool asks(const Bytes& bytes) {
  return testing::vm_flags(bytes).find(" hg ") != std::string::npos;
}

TEST(HugePageAllocator, AsksFrom2MiBOnAndBeginsAtAPage) {
  constexpr std::size_t kHuge = std::size_t{1} << 21;
  const Bytes large(2 * kHuge + 1), least(kHuge);
  for (const auto* bytes : {&large, &least}) {
    EXPECT_TRUE(asks(*bytes)) << testing::vm_flags(*bytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(bytes->data()) % kHuge, 0u);
  }
}

}  // namespace
}  // namespace troupe::kernels
