// Progress lines are rewritten in place on a terminal and appended otherwise.
#include "services/runtime/progress.hpp"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "services/runtime/terminal.hpp"

namespace troupe::services {
namespace {

constexpr int kBarCells = 24;
constexpr std::chrono::milliseconds kRedrawEvery{100};
constexpr double kMeasured = 0.1;  // seconds; what takes less has no rate worth telling

std::string printed(const char* format, double value) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), format, value);
  return text.data();
}

double share(std::uint64_t done, std::uint64_t total) {
  return total == 0 ? 1.0 : static_cast<double>(done) / static_cast<double>(total);
}

/// A binary unit and how many bytes it is.
struct ByteUnit {
  const char* name = "B";
  double bytes = 1;
};

ByteUnit unit_of(std::uint64_t bytes) {
  constexpr std::array<const char*, 5> kUnits{"B", "KiB", "MiB", "GiB", "TiB"};
  ByteUnit unit;
  for (std::size_t i = 1; i < kUnits.size(); ++i) {
    if (static_cast<double>(bytes) < unit.bytes * 1024) break;
    unit = {kUnits[i], unit.bytes * 1024};
  }
  return unit;
}

/// `bytes` in `unit`; whole bytes have no decimal.
std::string in_unit(std::uint64_t bytes, ByteUnit unit) {
  return printed(unit.bytes > 1 ? "%.1f" : "%.0f", static_cast<double>(bytes) / unit.bytes);
}

/// "412.3/642.1 GiB": both in the unit of the total.
std::string bytes_of_total(std::uint64_t done, std::uint64_t total) {
  const ByteUnit unit = unit_of(total);
  return in_unit(done, unit) + "/" + in_unit(total, unit) + " " + unit.name;
}

std::string duration(double seconds) {
  const auto whole = static_cast<long long>(seconds + 0.5);
  if (whole < 60) return std::to_string(whole) + "s";
  if (whole < 3600) return std::to_string(whole / 60) + "m" + std::to_string(whole % 60) + "s";
  return std::to_string(whole / 3600) + "h" + std::to_string(whole / 60 % 60) + "m";
}

}  // namespace

ProgressStyle progress_style(bool no_progress) {
  if (no_progress) return ProgressStyle::none;
  const char* no_color = std::getenv("NO_COLOR");
  if (no_color != nullptr && *no_color != '\0') return ProgressStyle::lines;
  return stderr_is_terminal() ? ProgressStyle::bar : ProgressStyle::lines;
}

std::string progress_line(std::string_view label, ProgressUnit unit, std::uint64_t done,
                          std::uint64_t total, double seconds) {
  const bool bytes = unit == ProgressUnit::bytes;
  const bool tokens = unit == ProgressUnit::tokens;
  const double rate = seconds >= kMeasured ? static_cast<double>(done) / seconds : 0;
  const std::string number = printed(rate < 10 ? "%.1f" : "%.0f", rate);
  std::string text(label);
  text += "  " + (bytes ? bytes_of_total(done, total)
                        : std::to_string(done) + "/" + std::to_string(total) +
                              (tokens ? " tokens" : " requests"));
  if (rate <= 0) return text;
  text += "  " + (bytes    ? human_bytes(static_cast<std::uint64_t>(rate)) + "/s"
                  : tokens ? number + " tok/s"
                           : number + " requests/s");
  if (done < total) text += "  ETA " + duration(static_cast<double>(total - done) / rate);
  return text;
}

Progress::Progress(Settings settings)
    : settings_(std::move(settings)), started_(Clock::now()), drawn_(started_ - kRedrawEvery) {}

Progress::~Progress() {
  if (bar_begun_) std::fputs("\n", stderr);
}

void Progress::update(std::uint64_t done, std::uint64_t total) {
  if (settings_.style == ProgressStyle::none) return;
  if (Clock::now() - started_ < settings_.quiet_for) return;
  if (settings_.style == ProgressStyle::bar) {
    draw_bar(done, total);
  } else {
    print_tenth(done, total);
  }
}

void Progress::clear() {
  if (!std::exchange(bar_begun_, false)) return;
  std::fputs("\r\033[K", stderr);
  std::fflush(stderr);
}

std::string Progress::line(std::uint64_t done, std::uint64_t total) const {
  const double seconds = std::chrono::duration<double>(Clock::now() - started_).count();
  return progress_line(settings_.label, settings_.unit, done, total, seconds);
}

void Progress::draw_bar(std::uint64_t done, std::uint64_t total) {
  const auto now = Clock::now();
  if (done < total && now - drawn_ < kRedrawEvery) return;
  drawn_ = now;
  const auto cells = static_cast<int>(share(done, total) * kBarCells);
  const std::string bar = std::string(static_cast<std::size_t>(cells), '#') +
                          std::string(static_cast<std::size_t>(kBarCells - cells), '.');
  std::fprintf(stderr, "\r\033[K[%s] %s", bar.c_str(), line(done, total).c_str());
  std::fflush(stderr);
  bar_begun_ = true;
}

void Progress::print_tenth(std::uint64_t done, std::uint64_t total) {
  const auto tenths = static_cast<int>(share(done, total) * 10);
  if (tenths <= tenths_printed_) return;
  tenths_printed_ = tenths;
  std::fprintf(stderr, "%s\n", line(done, total).c_str());
  std::fflush(stderr);
}

std::string human_bytes(std::uint64_t bytes) {
  const ByteUnit unit = unit_of(bytes);
  return in_unit(bytes, unit) + " " + unit.name;
}

}  // namespace troupe::services
