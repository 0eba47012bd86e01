// Progress of loading as text.
#include "services/process/loading.hpp"

namespace troupe::services {

double loaded_share(const LoadSnapshot& now) {
  if (now.bytes_total == 0) return 0;
  return static_cast<double>(now.bytes_done) / static_cast<double>(now.bytes_total);
}

std::string loading_text(const LoadSnapshot& now) {
  if (now.bytes_total == 0) return "reading the model";
  return progress_line("loading, layer " + std::to_string(now.layers_done) + " of " +
                           std::to_string(now.layers_total),
                       ProgressUnit::bytes, now.bytes_done, now.bytes_total, 0);
}

std::string loading_label(const LoadSnapshot& now) {
  return "loading layer " + std::to_string(now.layers_done) + "/" +
         std::to_string(now.layers_total);
}

Loading::Loading(Logger& log, bool terminal) : log_(log) {
  if (terminal) bar_.emplace(Progress::Settings{"loading", progress_style(false), {}});
}

void Loading::report(const LoadSnapshot& progress) {
  const std::lock_guard lock(mutex_);
  progress_ = progress;
}

LoadSnapshot Loading::progress() const {
  const std::lock_guard lock(mutex_);
  return progress_;
}

void Loading::show() {
  const std::lock_guard lock(showing_);
  show_now();
}

void Loading::show_now() {
  const auto now = progress();
  if (now.bytes_total == 0) return;
  if (bar_) {
    bar_->relabel(loading_label(now));
    return bar_->update(now.bytes_done, now.bytes_total);
  }
  if (!began_) began_ = Clock::now();
  const auto tenths = static_cast<int>(loaded_share(now) * 10);
  if (tenths <= tenths_logged_) return;
  tenths_logged_ = tenths;
  const double seconds = std::chrono::duration<double>(Clock::now() - *began_).count();
  log_.info("loading",
            progress_line(loading_label(now), ProgressUnit::bytes, now.bytes_done, now.bytes_total,
                          seconds),
            {{"layer", now.layers_done},
             {"layers", now.layers_total},
             {"bytes", static_cast<std::int64_t>(now.bytes_done)},
             {"bytes_total", static_cast<std::int64_t>(now.bytes_total)}});
}

void Loading::finish() {
  const std::lock_guard lock(showing_);
  show_now();
  bar_.reset();
}

}  // namespace troupe::services
