// A file that is cut short while mapped ends the process with exit code 4 and its name.
#include "model/checkpoint/mapped_files.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <initializer_list>
#include <span>
#include <utility>
#include <vector>

#include "kernels/huge_pages.hpp"
#include "model/checkpoint/checkpoint.hpp"
#include "model/checkpoint/weight_files.hpp"
#include "tests/support/mapped_pages.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/tiny_checkpoint.hpp"
#include "tests/support/vm_flags.hpp"

namespace troupe::model {
namespace {

using testing::TempDir;

TEST(MappedFile, GivesTheBytesOfTheFileAndKeepsThemWhenMoved) {
  TempDir dir;
  testing::write_bytes(dir / "a", "hello");
  auto opened = MappedFile::open(dir / "a");
  ASSERT_TRUE(opened);
  MappedFile moved = *std::move(opened);
  EXPECT_EQ(moved.bytes().size(), 5u);
  EXPECT_EQ(std::to_integer<char>(moved.bytes()[4]), 'o');
  EXPECT_EQ(moved.path(), (dir / "a").string());
}

TEST(MappedFile, CanBeOpenedMoreOftenThanTheTableHasSlots) {
  TempDir dir;
  testing::write_bytes(dir / "a", "hello");
  for (std::size_t i = 0; i < kMappedFilesMax + 10; ++i)
    ASSERT_TRUE(MappedFile::open(dir / "a")) << "a closed file must free its slot";
}

void read_all(const MappedFile& file) {
  volatile int sum = 0;
  for (const std::byte byte : file.bytes()) sum = sum + std::to_integer<int>(byte);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they make mlock do nothing

/// "VmLck:  12 kB" of /proc/self/status.
std::int64_t locked_kib() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;)
    if (word == "VmLck:") {
      std::int64_t kib = 0;
      status >> kib;
      return kib;
    }
  return -1;
}

TEST(BringIn, LocksOnlyWhereTold) {
  TempDir dir;
  testing::write_bytes(dir / "a", std::string(100'000, 'a'));
  const auto file = MappedFile::open(dir / "a");
  const auto before = locked_kib();
  ASSERT_TRUE(bring_in(file->bytes(), {}));
  EXPECT_EQ(locked_kib(), before);
  ASSERT_TRUE(bring_in(file->bytes(), {.locked = true}));
  EXPECT_EQ(locked_kib(), before + 100);
}

TEST(CheckpointPages, HugeOnesAreAskedForByWholeFileUnlessNobodyWantsThem) {
  TempDir dir;
  testing::TinyCheckpoint().write(dir.path());
  for (const bool huge : {true, false}) {
    const auto checkpoint = Checkpoint::open(dir.path(), {.huge = huge});
    ASSERT_TRUE(checkpoint) << checkpoint.error().detail;
    const auto flags = testing::vm_flags(checkpoint->files()[0].mapping().bytes());
    EXPECT_NE(flags, "");
    EXPECT_EQ(flags.find(" hg ") != std::string::npos, huge) << flags;
  }
}

TEST(CheckpointPages, AProcessThatReadsAPartHasHugeOnesOnlyWhereTheyFit) {
  TempDir dir;
  testing::TinyCheckpoint().write(dir.path());
  for (const bool most : {true, false}) {
    const auto checkpoint = Checkpoint::open(dir.path(), {.sparing = true});
    ASSERT_TRUE(checkpoint) << checkpoint.error().detail;
    const auto file = checkpoint->files()[0].mapping().bytes();
    EXPECT_EQ(testing::vm_flags(file).find(" hg "), std::string::npos);
    // A file that is smaller than a large page never fills one: what fits is tested below.
    ASSERT_LT(file.size(), kernels::kHugePageBytes);
    const std::span<const std::byte> as_if_more{file.data(), 32 * kernels::kHugePageBytes};
    checkpoint->will_read(std::array{most ? as_if_more : file.first(file.size() / 2)});
    const auto flags = testing::vm_flags(file);
    EXPECT_EQ(flags.find(" hg ") != std::string::npos, most) << flags;
    EXPECT_EQ(flags.find(" nh ") != std::string::npos, !most) << flags;
  }
}

TEST(ForgetBut, KeepsThePagesOfThePartsAndNoOthers) {
  if (::sysconf(_SC_PAGESIZE) != 4096) GTEST_SKIP() << "written for pages of 4 KiB";
  TempDir dir;
  testing::write_bytes(dir / "a", std::string(10 * 4096, 'a'));
  const auto file = MappedFile::open(dir / "a");
  const auto all = file->bytes();
  populate(all);
  ASSERT_EQ(testing::mapped_pages(all), std::vector<bool>(10, true));
  // Neighbours, out of order, that begin and end inside pages: 2 to 4, and 6.
  forget_but(all, {all.subspan(6 * 4096, 4096), all.subspan(3 * 4096 + 5, 4096),
                   all.subspan(2 * 4096 + 4095, 4102)});
  EXPECT_EQ(testing::mapped_pages(all),
            (std::vector<bool>{false, false, true, true, true, false, true, false, false, false}));
  EXPECT_EQ(all[9 * 4096], std::byte{'a'}) << "is read again";
}

TEST(ForgetTensor, LeavesWhatMayLieBetweenCopies) {
  TempDir dir;
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  testing::write_bytes(dir / "a", std::string(2 * kCopiedGapBytes, 'a'));
  const auto file = MappedFile::open(dir / "a");
  const auto all = file->bytes();
  populate(all);
  // More bytes than a gap has, but no more whole pages.
  forget_tensor(all.subspan(1, kCopiedGapBytes + page - 2));
  const std::size_t pages = 2 * kCopiedGapBytes / page;
  EXPECT_EQ(testing::mapped_pages(all), std::vector<bool>(pages, true));
  forget_tensor(all.first(kCopiedGapBytes));
  std::vector<bool> left(pages, true);
  std::fill_n(left.begin(), pages / 2, false);
  EXPECT_EQ(testing::mapped_pages(all), left);
}

TEST(FitHugePages, WhereTheyHoldATenthMoreAtMost) {
  constexpr std::size_t kPage = kernels::kHugePageBytes;
  const auto fits = [](std::initializer_list<std::pair<std::size_t, std::size_t>> parts) {
    std::vector<std::span<const std::byte>> spans;  // of nothing that is read
    for (const auto& [begin, end] : parts)
      spans.emplace_back(reinterpret_cast<const std::byte*>(64 * kPage + begin), end - begin);
    return fit_huge_pages(spans);
  };
  EXPECT_TRUE(fits({{0, kPage}}));
  EXPECT_FALSE(fits({{0, kPage / 2}}));
  EXPECT_TRUE(fits({{0, kPage / 2}, {kPage / 2, kPage}})) << "two parts of one page";
  EXPECT_TRUE(fits({{kPage / 2, kPage}, {0, kPage / 2}})) << "in any order";
  EXPECT_FALSE(fits({{kPage / 2, 3 * kPage / 2}})) << "two halves";
  EXPECT_TRUE(fits({{0, 10 * kPage}, {11 * kPage, 12 * kPage - kPage / 2}})) << "12 for 11.5";
  EXPECT_FALSE(fits({{0, 4 * kPage}, {5 * kPage, 6 * kPage - kPage / 2}})) << "5 for 4.5";
  EXPECT_TRUE(fits({{kPage, kPage}, {0, kPage}})) << "nothing is read of the second";
}

[[noreturn]] void end_with_what_locking_says(const MappedFile& file) {
  const struct rlimit little { 8192, 8192 };
  ::setrlimit(RLIMIT_MEMLOCK, &little);
  if (::getuid() == 0 && ::setuid(65534) != 0) ::_exit(1);  // root may lock all
  const auto locked = bring_in(file.bytes(), {.locked = true});
  std::fputs(locked ? "locked" : locked.error().detail.c_str(), stderr);
  ::_exit(0);
}

TEST(BringInDeathTest, SaysWhatTheSystemAllowsToLock) {
  TempDir dir;
  testing::write_bytes(dir / "a", std::string(100'000, 'a'));
  const auto file = MappedFile::open(dir / "a");
  EXPECT_EXIT(end_with_what_locking_says(*file), ::testing::ExitedWithCode(0),
              "allows 8 KiB .*engine.lock_weights");
}

#endif

TEST(MappedFileDeathTest, TruncationEndsTheProcessWithExitFourAndTheName) {
  TempDir dir;
  testing::write_bytes(dir / "other", std::string(10'000, 'o'));
  testing::write_bytes(dir / "weights", std::string(100'000, 'w'));
  const auto other = MappedFile::open(dir / "other");
  const auto file = MappedFile::open(dir / "weights");
  EXPECT_EXIT(
      {
        install_sigbus_handler();
        if (::truncate((dir / "weights").c_str(), 5'000) != 0) ::_exit(1);
        read_all(*other);
        read_all(*file);
      },
      ::testing::ExitedWithCode(4), "error: .*/weights was truncated.*TROUPE-4004");
}

TEST(WeightFilesDeathTest, ACutInsideTheLastPageEndsTheProcessTheSameWay) {
  TempDir dir;
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  testing::write_bytes(dir / "other", std::string(10'000, 'o'));
  testing::write_bytes(dir / "weights", std::string(2 * page + 100, 'w'));
  const auto other = MappedFile::open(dir / "other");
  const auto file = MappedFile::open(dir / "weights");
  WeightFiles files;
  for (const auto* one : {&*other, &*file, &*file}) files.add(*one);
  EXPECT_EQ(files.truncated(), std::nullopt);
  ASSERT_EQ(::truncate((dir / "weights").c_str(), static_cast<off_t>(2 * page + 50)), 0);
  read_all(*file);  // the reason for all this: no signal, zeros
  EXPECT_EQ(std::to_integer<int>(file->bytes().back()), 0);
  EXPECT_EQ(files.truncated(), (dir / "weights").string());
  EXPECT_EXIT(files.end_process_if_truncated(), ::testing::ExitedWithCode(4),
              "error: .*/weights was truncated.*TROUPE-4004");
}

TEST(MappedFileDeathTest, AnotherSigbusStillKills) {
  EXPECT_EXIT(
      {
        install_sigbus_handler();
        ::raise(SIGBUS);
      },
      ::testing::KilledBySignal(SIGBUS), "");
}

}  // namespace
}  // namespace troupe::model
