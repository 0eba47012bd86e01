// The values of a process' metrics between scrapes, and their text for Prometheus.
#pragma once
#include <cstddef>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/histogram.hpp"
#include "services/runtime/metrics/metric_spec.hpp"

namespace troupe::services {

/// One per process. A label set exists from the first time it is touched; services touch all of
/// theirs with 0 when they start.
/// *Threading*: any thread; short locks only.
class MetricBook {
 public:
  /// Makes the metrics known: they are listed from now on, with or without values.
  void declare(std::span<const MetricSpec* const> specs);

  /// Counters (`amount` is not negative) and gauges of which several have a part.
  void add(const MetricSpec& metric, const LabelValues& labels, double amount);
  /// Gauges.
  void set(const MetricSpec& metric, const LabelValues& labels, double value);
  /// Histograms: one value, some values, or none (which creates the label set).
  void observe(const MetricSpec& metric, const LabelValues& labels, double value,
               std::uint64_t times = 1);
  void observe(const MetricSpec& metric, const LabelValues& labels, const Histogram& news);

  /// The text of `/metrics`, format 0.0.4.
  std::string text() const;

 private:
  struct Series {
    double value = 0;
    Histogram histogram;
  };
  struct Family {
    const MetricSpec* spec = nullptr;
    std::map<LabelValues, Series> series;
  };
  Family& family(const MetricSpec& metric);
  Series& series(const MetricSpec& metric, const LabelValues& labels);

  mutable std::mutex mutex_;
  std::map<std::string_view, Family> families_;
};

/// Turns a total that begins at 0 again whenever its source is replaced into what was added, so
/// that what is exported only grows. *Threading*: one owner.
template <class T>
class Growth {
 public:
  T take(T total) {
    const T news = total < last_ ? total : static_cast<T>(total - last_);
    last_ = total;
    return news;
  }

 private:
  T last_{};
};
template <>
class Growth<Histogram> {
 public:
  Histogram take(const Histogram& total) { return total.since(std::exchange(last_, total)); }

 private:
  Histogram last_;
};

}  // namespace troupe::services
