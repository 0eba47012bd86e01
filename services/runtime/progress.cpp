// Progress lines are rewritten in place on a terminal and appended otherwise.
#include "services/runtime/progress.hpp"

#include <array>
#include <cstdio>
#include <cstdlib>

#include "services/runtime/terminal.hpp"

namespace troupe::services {
namespace {

constexpr int kBarCells = 24;
constexpr std::chrono::milliseconds kRedrawEvery{100};

std::string printed(const char* format, double value, const char* unit) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), format, value, unit);
  return text.data();
}

double share(std::uint64_t done, std::uint64_t total) {
  return total == 0 ? 1.0 : static_cast<double>(done) / static_cast<double>(total);
}

std::string duration(double seconds) {
  const auto whole = static_cast<long long>(seconds + 0.5);
  if (whole < 60) return std::to_string(whole) + "s";
  return std::to_string(whole / 60) + "m" + std::to_string(whole % 60) + "s";
}

}  // namespace

ProgressStyle progress_style(bool no_progress) {
  if (no_progress) return ProgressStyle::none;
  const char* no_color = std::getenv("NO_COLOR");
  if (no_color != nullptr && *no_color != '\0') return ProgressStyle::lines;
  return stderr_is_terminal() ? ProgressStyle::bar : ProgressStyle::lines;
}

Progress::Progress(Settings settings)
    : settings_(std::move(settings)), started_(Clock::now()), drawn_(started_ - kRedrawEvery) {}

Progress::~Progress() {
  if (bar_begun_) std::fputs("\n", stderr);
}

void Progress::update(std::uint64_t bytes_done, std::uint64_t bytes_total) {
  if (settings_.style == ProgressStyle::none) return;
  if (Clock::now() - started_ < settings_.quiet_for) return;
  if (settings_.style == ProgressStyle::bar) {
    draw_bar(bytes_done, bytes_total);
  } else {
    print_tenth(bytes_done, bytes_total);
  }
}

std::string Progress::line(std::uint64_t done, std::uint64_t total) const {
  const double seconds = std::chrono::duration<double>(Clock::now() - started_).count();
  const double rate = seconds > 0 ? static_cast<double>(done) / seconds : 0;
  std::string text = settings_.label + " " + printed("%3.0f%%%s", 100 * share(done, total), "") +
                     "  " + human_bytes(done) + " / " + human_bytes(total);
  if (rate > 0) {
    text += "  " + human_bytes(static_cast<std::uint64_t>(rate)) + "/s";
    if (done < total) text += "  ETA " + duration(static_cast<double>(total - done) / rate);
  }
  return text;
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
  constexpr std::array<const char*, 5> kUnits{"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return unit == 0 ? std::to_string(bytes) + " B" : printed("%.1f %s", value, kUnits[unit]);
}

}  // namespace troupe::services
