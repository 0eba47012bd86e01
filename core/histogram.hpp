// How often a quantity fell into each of a few fixed ranges: what roles count for metrics.
#pragma once
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>

namespace troupe {

/// Upper bounds, inclusive, in seconds: what users wait for.
inline constexpr std::array<double, 14> kLatencyBounds{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                                       0.25,  0.5,    1,     2.5,  5,     10,   30};
/// In seconds, 10 us to 50 ms: what one layer takes.
inline constexpr std::array<double, 11> kMicroBounds{10e-6, 25e-6,  50e-6, 100e-6, 250e-6, 500e-6,
                                                     1e-3,  2.5e-3, 5e-3,  10e-3,  50e-3};
/// Rows or (row, expert) pairs computed at once.
inline constexpr std::array<double, 8> kBatchBounds{1, 4, 16, 64, 256, 1024, 4096, 16384};

/// Plain numbers that are copied with the status they belong to.
/// *Threading*: none of its own; one owner.
class Histogram {
 public:
  static constexpr std::size_t kBoundsMax = 15;

  Histogram() = default;
  /// `bounds` ascend, at most kBoundsMax, and outlive this (one of the tables above).
  explicit Histogram(std::span<const double> bounds) : bounds_(bounds) {}

  void observe(double value, std::uint64_t times = 1) {
    const auto bucket = std::lower_bound(bounds_.begin(), bounds_.end(), value);
    counts_[static_cast<std::size_t>(bucket - bounds_.begin())] += times;
    sum_ += value * static_cast<double>(times);
  }
  void observe(std::chrono::steady_clock::duration taken) {
    observe(std::chrono::duration<double>(taken).count());
  }

  std::span<const double> bounds() const { return bounds_; }
  /// Of each range, not cumulative; the last is above every bound.
  std::span<const std::uint64_t> counts() const { return {counts_.data(), bounds_.size() + 1}; }
  double sum() const { return sum_; }
  std::uint64_t count() const {
    std::uint64_t all = 0;
    for (const auto n : counts()) all += n;
    return all;
  }

  /// What came since `before`, an earlier copy; all of this where counting began anew since then.
  Histogram since(const Histogram& before) const {
    for (std::size_t i = 0; i < counts_.size(); ++i)
      if (before.bounds_.size() != bounds_.size() || counts_[i] < before.counts_[i]) return *this;
    Histogram news = *this;
    for (std::size_t i = 0; i < counts_.size(); ++i) news.counts_[i] -= before.counts_[i];
    news.sum_ -= before.sum_;
    return news;
  }
  void add(const Histogram& other) {
    for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
    sum_ += other.sum_;
  }

 private:
  std::span<const double> bounds_;
  std::array<std::uint64_t, kBoundsMax + 1> counts_{};
  double sum_ = 0;
};

}  // namespace troupe
