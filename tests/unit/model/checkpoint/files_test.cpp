// Refusals of the operating system keep their kind, and files appear complete or not at all.
#include "model/checkpoint/files.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>

#include "model/checkpoint/mapped_files.hpp"
#include "model/checkpoint/output_file.hpp"
#include "tests/support/temp_dir.hpp"

namespace troupe::model {
namespace {

using testing::TempDir;

TEST(Files, ErrnoBecomesTheErrorOfItsKind) {
  const auto code = [](int number) { return os_error("write", "/x", number).code; };
  for (const int number : {ENOENT, ENOTDIR}) EXPECT_EQ(code(number), Errc::not_found);
  for (const int number : {ENOSPC, EDQUOT, ENOMEM, EMFILE, ENFILE})
    EXPECT_EQ(code(number), Errc::resource_exhausted);
  for (const int number : {EIO, EACCES, EROFS, EFBIG, EISDIR}) EXPECT_EQ(code(number), Errc::io);
  EXPECT_EQ(os_error("write", "/x", ENOSPC).detail, "cannot write /x: No space left on device");
}

TEST(Files, SmallFilesAreReadWholeAndLargeOnesRefused) {
  TempDir dir;
  testing::write_bytes(dir / "a", "hello");
  EXPECT_EQ(*read_text_file(dir / "a", 5), "hello");
  EXPECT_EQ(read_text_file(dir / "a", 4).error().code, Errc::malformed);
  EXPECT_EQ(read_text_file(dir / "none", 5).error().code, Errc::not_found);
  EXPECT_EQ(read_text_file(dir.path(), 5).error().code, Errc::malformed);
}

TEST(Files, NamedPipesAreRefusedWithoutWaitingForAWriter) {
  TempDir dir;
  ASSERT_EQ(::mkfifo((dir / "pipe").c_str(), 0600), 0);
  EXPECT_EQ(read_text_file(dir / "pipe", 5).error().code, Errc::malformed);
  EXPECT_EQ(MappedFile::open(dir / "pipe").error().code, Errc::malformed);
}

TEST(Files, OutputAppearsOnlyWhenFinished) {
  TempDir dir;
  testing::write_bytes(dir / "a.partial", "left by a crash");
  {
    auto file = OutputFile::create(dir / "a");
    ASSERT_TRUE(file);
    ASSERT_TRUE(file->write(std::as_bytes(std::span("new", 3))));
    EXPECT_FALSE(std::filesystem::exists(dir / "a"));
  }
  EXPECT_TRUE(std::filesystem::is_empty(dir.path())) << "given up: nothing stays";
  ASSERT_TRUE(write_file(dir / "a", "text"));
  ASSERT_TRUE(copy_file_durably(dir / "a", dir / "b"));
  EXPECT_EQ(testing::read_bytes(dir / "b"), "text");
  EXPECT_FALSE(std::filesystem::exists(dir / "a.partial"));
  EXPECT_EQ(write_file(dir / "none" / "a", "x").error().code, Errc::not_found);
  EXPECT_EQ(copy_file_durably(dir / "none", dir / "c").error().code, Errc::not_found);
}

}  // namespace
}  // namespace troupe::model
