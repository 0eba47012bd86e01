// Text by prometheus-cpp, whose registry is not used: values come from statuses at scrape time.
#include "services/runtime/metrics/metric_book.hpp"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <limits>

#include "core/check.hpp"

namespace troupe::services {
namespace {

prometheus::MetricType type_of(MetricKind kind) {
  switch (kind) {
    case MetricKind::counter: return prometheus::MetricType::Counter;
    case MetricKind::gauge: return prometheus::MetricType::Gauge;
    case MetricKind::histogram: return prometheus::MetricType::Histogram;
  }
  return prometheus::MetricType::Untyped;
}

prometheus::ClientMetric::Histogram cumulative(const Histogram& histogram) {
  prometheus::ClientMetric::Histogram out;
  std::uint64_t below = 0;
  const auto counts = histogram.counts();
  for (std::size_t i = 0; i < counts.size(); ++i) {
    below += counts[i];
    const bool last = i == histogram.bounds().size();
    out.bucket.push_back(
        {below, last ? std::numeric_limits<double>::infinity() : histogram.bounds()[i]});
  }
  out.sample_count = below;
  out.sample_sum = histogram.sum();
  return out;
}

}  // namespace

std::string_view to_string(MetricKind kind) {
  switch (kind) {
    case MetricKind::counter: return "counter";
    case MetricKind::gauge: return "gauge";
    case MetricKind::histogram: return "histogram";
  }
  return "unknown";
}

std::vector<std::string> MetricSpec::label_names() const {
  std::vector<std::string> names;
  for (std::string_view rest = labels; !rest.empty();) {
    const auto name = rest.substr(0, rest.find(", "));
    names.emplace_back(name);
    rest.remove_prefix(std::min(name.size() + 2, rest.size()));
  }
  return names;
}

MetricBook::Family& MetricBook::family(const MetricSpec& metric) {
  Family& family = families_[metric.name];
  family.spec = &metric;
  return family;
}

MetricBook::Series& MetricBook::series(const MetricSpec& metric, const LabelValues& labels) {
  TROUPE_CHECK(labels.size() == metric.label_names().size(), metric.name);
  auto [found, is_new] = family(metric).series.try_emplace(labels);
  if (is_new) found->second.histogram = Histogram(metric.bounds);
  return found->second;
}

void MetricBook::declare(std::span<const MetricSpec* const> specs) {
  const std::lock_guard lock(mutex_);
  for (const MetricSpec* spec : specs) family(*spec);
}

void MetricBook::add(const MetricSpec& metric, const LabelValues& labels, double amount) {
  const std::lock_guard lock(mutex_);
  series(metric, labels).value += amount;
}

void MetricBook::set(const MetricSpec& metric, const LabelValues& labels, double value) {
  const std::lock_guard lock(mutex_);
  series(metric, labels).value = value;
}

void MetricBook::observe(const MetricSpec& metric, const LabelValues& labels, double value,
                         std::uint64_t times) {
  const std::lock_guard lock(mutex_);
  series(metric, labels).histogram.observe(value, times);
}

void MetricBook::observe(const MetricSpec& metric, const LabelValues& labels,
                         const Histogram& news) {
  const std::lock_guard lock(mutex_);
  series(metric, labels).histogram.add(news);
}

std::string MetricBook::text() const {
  const std::lock_guard lock(mutex_);
  std::vector<prometheus::MetricFamily> out;
  for (const auto& [name, family] : families_) {
    prometheus::MetricFamily one;
    one.name = name;
    one.help = family.spec->help;
    one.type = type_of(family.spec->kind);
    const auto names = family.spec->label_names();
    for (const auto& [values, series] : family.series) {
      prometheus::ClientMetric metric;
      for (std::size_t i = 0; i < names.size(); ++i) metric.label.push_back({names[i], values[i]});
      metric.counter.value = metric.gauge.value = series.value;
      if (family.spec->kind == MetricKind::histogram)
        metric.histogram = cumulative(series.histogram);
      one.metric.push_back(std::move(metric));
    }
    out.push_back(std::move(one));
  }
  return prometheus::TextSerializer().Serialize(out);
}

}  // namespace troupe::services
