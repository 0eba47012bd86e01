// Copies of weights come to the addresses of their pages and to no others.
#include "model/checkpoint/weight_copies.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <string>

#include "tests/support/memory_limit.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/vm_flags.hpp"

namespace troupe::model {
namespace {

using testing::TempDir;
using Parts = std::vector<std::span<const std::byte>>;

const auto kPage = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));

/// As many different bytes as neighbouring pages have: byte i of page p.
std::string some_bytes(std::size_t count) {
  std::string bytes(count, '\0');
  for (std::size_t i = 0; i < count; ++i)
    bytes[i] = static_cast<char>((i / kPage * 31 + i % 127) % 251);
  return bytes;
}

/// All bytes of a file become '!', in place: a mapping shows it where it is not a copy.
void overwrite(const std::filesystem::path& path) {
  const auto count = std::filesystem::file_size(path);
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file << std::string(count, '!');
  ASSERT_TRUE(file.flush().good());
}

std::string_view text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Expected<void> copy(const MappedFile& file, const Parts& parts, bool huge_pages = true) {
  auto copies = WeightCopies::reserve(file, parts, huge_pages);
  if (!copies) return unexpected(copies.error());
  for (std::size_t i = 0; i < copies->pieces(); ++i)
    if (const auto fine = copies->fill(i); !fine) return fine;
  return copies->put_in_place();
}

/// Far enough from a part to be no gap.
const std::size_t kFar = kCopiedGapBytes / kPage;

TEST(WeightCopies, TakeThePlaceOfThePagesOfThePartsAndNoOthers) {
  const TempDir dir;
  const std::size_t pages = 3 * kFar + 20;
  const std::string bytes = some_bytes(pages * kPage);
  testing::write_bytes(dir / "a", bytes);
  testing::write_bytes(dir / "other", bytes);
  const auto file = MappedFile::open(dir / "a");
  const auto other = MappedFile::open(dir / "other");
  ASSERT_TRUE(file && other);
  const auto all = file->bytes();
  const std::size_t far = 5 + kFar;         // pages 5 to far - 1 are just no gap
  const std::size_t last = far + 1 + kFar;  // one page less is one
  // Out of order, twice, inside one another, in another file; the first begins and ends inside
  // pages, 2 to 4.
  const Parts parts{all.subspan(last * kPage, 3 * kPage),
                    all.subspan(2 * kPage + 100, 2 * kPage),
                    all.subspan(far * kPage, 2 * kPage),
                    all.subspan((last + 1) * kPage + 5, 1),
                    all.first(0),
                    other->bytes()};
  EXPECT_EQ(WeightCopies::reserve(*file, parts, true)->ranges().size(), 2u);
  ASSERT_TRUE(copy(*file, parts));
  EXPECT_EQ(text(all), bytes);
  overwrite(dir / "a");
  for (std::size_t p = 0; p < pages; ++p) {
    const bool copied = (p >= 2 && p <= 4) || (p >= far && p < last + 3);
    const std::string expected = copied ? bytes.substr(p * kPage, kPage) : std::string(kPage, '!');
    EXPECT_EQ(text(all.subspan(p * kPage, kPage)), expected) << "page " << p;
  }
}

TEST(WeightCopies, PartsOfManyPiecesAndTheEndOfAFileAreWhole) {
  const TempDir dir;
  const std::string bytes = some_bytes((std::size_t{9} << 20) + 1234);
  testing::write_bytes(dir / "a", bytes);
  for (const bool huge : {true, false}) {
    const auto file = MappedFile::open(dir / "a");
    ASSERT_TRUE(file);
    const auto part = file->bytes().subspan(kPage + 17);
    ASSERT_TRUE(copy(*file, {part}, huge));
    EXPECT_TRUE(text(file->bytes()) == bytes);
    const std::byte* end = file->bytes().data() + bytes.size();
    EXPECT_EQ(*end, std::byte{0}) << "of the last page, behind the end";
    const std::string flags = testing::vm_flags(part);
    EXPECT_NE(flags.find(huge ? " hg " : " nh "), std::string::npos) << flags;
    EXPECT_EQ(flags.find(" wr "), std::string::npos) << "nobody may write: " << flags;
  }
}

TEST(WeightCopies, WhatIsNotPutInPlaceChangesNothing) {
  const TempDir dir;
  testing::write_bytes(dir / "a", some_bytes(3 * kPage));
  const auto file = MappedFile::open(dir / "a");
  ASSERT_TRUE(file);
  {
    const auto copies = WeightCopies::reserve(*file, Parts{file->bytes()}, true);
    ASSERT_TRUE(copies) << copies.error().detail;
    EXPECT_EQ(copies->bytes(), 3 * kPage);
    ASSERT_EQ(copies->pieces(), 1u);
    EXPECT_EQ(copies->bytes_of(0), 3 * kPage);
    ASSERT_TRUE(copies->fill(0));
  }
  overwrite(dir / "a");
  EXPECT_EQ(text(file->bytes()), std::string(3 * kPage, '!'));
}

TEST(WeightCopies, AFileThatWasCutShortIsAnErrorWithItsName) {
  const TempDir dir;
  testing::write_bytes(dir / "cut", some_bytes(3 * kPage));
  const auto file = MappedFile::open(dir / "cut");
  ASSERT_TRUE(file);
  std::filesystem::resize_file(dir / "cut", 2 * kPage + 1);
  const auto failed = copy(*file, {file->bytes()});
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, Errc::truncated);
  EXPECT_NE(failed.error().detail.find((dir / "cut").string()), std::string::npos);
}

TEST(WeightCopies, MappingsThatWouldNotBeThereAreAnErrorBeforeAnythingIsCopied) {
  EXPECT_TRUE(check_mappings(1));
  const auto failed = check_mappings(std::size_t{1} << 40);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, Errc::resource_exhausted);
  EXPECT_NE(failed.error().detail.find("vm.max_map_count"), std::string::npos);
}

#if !TROUPE_SANITIZED

[[noreturn]] void end_with_what_is_said_of(const MappedFile& file) {
  testing::leave_memory(std::size_t{1} << 20);
  const auto copies = WeightCopies::reserve(file, Parts{file.bytes()}, true);
  std::fputs(copies ? "reserved" : copies.error().detail.c_str(), stderr);
  ::_exit(0);
}

TEST(WeightCopiesDeathTest, WithoutMemorySayHowMuchTheyWanted) {
  const TempDir dir;
  testing::write_bytes(dir / "a", std::string(std::size_t{8} << 20, 'a'));
  const auto file = MappedFile::open(dir / "a");
  ASSERT_TRUE(file);
  EXPECT_EXIT(end_with_what_is_said_of(*file), ::testing::ExitedWithCode(0),
              "no memory for copies of weights, 8 MiB of .*/a: ");
}

#endif

}  // namespace
}  // namespace troupe::model
