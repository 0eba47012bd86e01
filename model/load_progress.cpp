// Counts bytes by layer.
#include "model/load_progress.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

namespace troupe::model {
namespace {

/// N of "model.layers.N.…"; embedding, head and final norm belong to no layer.
std::optional<std::int64_t> layer_of(std::string_view name) {
  constexpr std::string_view kPrefix = "model.layers.";
  if (!name.starts_with(kPrefix)) return std::nullopt;
  std::int64_t layer = 0;
  const char* digits = name.data() + kPrefix.size();
  const auto [end, failed] = std::from_chars(digits, name.data() + name.size(), layer);
  if (failed != std::errc{}) return std::nullopt;
  return layer;
}

}  // namespace

void LoadProgress::expect(std::string_view name, std::uint64_t bytes) {
  if (whole_) whole_->expect(name, bytes);
  const std::lock_guard lock(mutex_);
  bytes_total_ += bytes;
  if (const auto layer = layer_of(name)) bytes_left_[*layer] += bytes;
}

void LoadProgress::finish(std::string_view name, std::uint64_t bytes) {
  if (whole_) whole_->finish(name, bytes);
  const std::lock_guard lock(mutex_);
  bytes_done_ += bytes;
  if (const auto layer = layer_of(name)) bytes_left_[*layer] -= bytes;
}

LoadProgress::Snapshot LoadProgress::snapshot() const {
  const std::lock_guard lock(mutex_);
  const auto done = std::ranges::count_if(bytes_left_, [](const auto& l) { return l.second == 0; });
  return {done, static_cast<std::int64_t>(bytes_left_.size()), bytes_done_, bytes_total_};
}

}  // namespace troupe::model
