// What there is no memory for is said as a value.
#include "model/memory_bounds.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "tests/support/memory_limit.hpp"

namespace troupe::model {
namespace {

TEST(MemoryBounds, WorkThatFindsNoMemoryIsAnError) {
  const auto fails = within_memory("a test", [] { throw std::bad_alloc(); });
  ASSERT_FALSE(fails);
  EXPECT_EQ(fails.error(), (Error{Errc::resource_exhausted, "no memory for a test"}));
  bool ran = false;
  EXPECT_TRUE(within_memory("a test", [&] { ran = true; }));
  EXPECT_TRUE(ran);
}

#if !TROUPE_SANITIZED
/// In a process of its own.
template <class Condition>
[[noreturn]] void with_four_mib(Condition condition) {
  troupe::testing::leave_memory(4 << 20);
  ::_exit(condition() ? 0 : 1);
}

TEST(MemoryBounds, TheSystemHasWhatTheLimitLeaves) {
  constexpr std::size_t kMib = 1 << 20;
  EXPECT_EXIT(with_four_mib([] { return system_has(3 * kMib) && !system_has(5 * kMib); }),
              ::testing::ExitedWithCode(0), "");
  EXPECT_EXIT(with_four_mib([] { return heap_has(2 * kMib) && !heap_has(5 * kMib); }),
              ::testing::ExitedWithCode(0), "");
}

TEST(MemoryBounds, AHeapHasWhatWasFreedBefore) {
  EXPECT_EXIT(with_four_mib([] {
                constexpr std::size_t kPiece = 64 << 10;  // below what malloc asks the system for
                std::vector<void*> pieces;
                while (void* piece = std::malloc(kPiece)) pieces.push_back(piece);
                const bool none = !heap_has(kPiece);
                std::free(pieces.front());
                // malloc asks for a piece and 128 KiB: so much less a little may be left.
                return none && heap_has(kPiece) && !system_has(4 * kPiece);
              }),
              ::testing::ExitedWithCode(0), "");
}

TEST(MemoryBounds, AMarkClaimsWhatIsMoreThanEverOrMuch) {
  EXPECT_EXIT(with_four_mib([] {
                constexpr std::size_t kMib = 1 << 20;
                MemoryMark mark;
                const auto claims = [&mark](std::size_t bytes) {
                  const auto run = [&] { mark.run(bytes, [] {}); };
                  return within_memory("a test", run).has_value();
                };
                const auto failing = [] { throw std::bad_alloc(); };
                const bool failed =
                    !within_memory("a test", [&] { mark.run(3 * kMib / 2, failing); });
                const bool some = failed && claims(kMib) && !claims(3 * kMib);
                const std::vector<char> rest(3 * kMib);
                return some && claims(kMib) && !claims(kMib + 1) && !claims(kLeftBySteps);
              }),
              ::testing::ExitedWithCode(0), "");
}
#endif

}  // namespace
}  // namespace troupe::model
