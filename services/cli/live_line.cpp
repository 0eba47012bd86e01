// Scroll regions as VT100 has them (DECSTBM), which all terminals in use understand.
#include "services/cli/live_line.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <string>

namespace troupe::services {
namespace {

constexpr std::chrono::milliseconds kShowEvery{200};
constexpr int kRowsMin = 5;  // below it every row is for the text
constexpr const char* kSave = "\0337";
constexpr const char* kRestore = "\0338";

winsize window() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0) return {};
  return size;
}

void put(const std::string& text) {
  std::fputs(text.c_str(), stderr);
  std::fflush(stderr);
}

std::string to_row(int row) { return "\033[" + std::to_string(row) + ";1H\033[2K"; }

}  // namespace

void LiveLine::begin(int rows) {
  // Down and up again in the same column (IND, CUU): scrolls if the cursor is in the row to take.
  if (rows_ == 0) put("\033D\033[A");
  rows_ = rows;
  put(kSave + ("\033[1;" + std::to_string(rows - 1) + "r") + kRestore);
}

void LiveLine::show(std::string_view words) {
  const auto now = Clock::now();
  if (!wanted_ || now - shown_ < kShowEvery) return;
  const winsize size = window();
  if (size.ws_row < kRowsMin) return end();
  if (size.ws_row != rows_) {
    if (rows_ != 0) end();
    begin(size.ws_row);
  }
  shown_ = now;
  const std::string shown(words.substr(0, size.ws_col));
  put(kSave + to_row(rows_) + "\033[2m" + shown + "\033[0m" + kRestore);
}

void LiveLine::end() {
  if (rows_ == 0) return;
  put(kSave + to_row(rows_) + "\033[r" + kRestore);
  rows_ = 0;
}

}  // namespace troupe::services
