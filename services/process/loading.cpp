// Progress of loading as text.
#include "services/process/loading.hpp"

namespace troupe::services {

Loading::Loading(Logger& log, bool terminal) : log_(log) {
  if (terminal) bar_.emplace(Progress::Settings{"loading", progress_style(false), {}});
}

void Loading::report(const actors::LoadProgress& progress) {
  const std::lock_guard lock(mutex_);
  progress_ = progress;
}

actors::LoadProgress Loading::progress() const {
  const std::lock_guard lock(mutex_);
  return progress_;
}

double Loading::share() const {
  const auto now = progress();
  if (now.bytes_total > 0)
    return static_cast<double>(now.bytes_done) / static_cast<double>(now.bytes_total);
  if (now.layers_total == 0) return 0;
  return static_cast<double>(now.layers_done) / static_cast<double>(now.layers_total);
}

std::string Loading::text() const {
  const auto now = progress();
  if (now.layers_total == 0) return "reading the model";
  return "layer " + std::to_string(now.layers_done) + " of " + std::to_string(now.layers_total);
}

void Loading::show() {
  const auto now = progress();
  if (now.layers_total == 0) return;
  if (bar_) {
    bar_->relabel("loading layer " + std::to_string(now.layers_done) + "/" +
                    std::to_string(now.layers_total));
    return bar_->update(now.bytes_done, now.bytes_total);
  }
  const auto tenths = static_cast<int>(share() * 10);
  if (tenths <= tenths_logged_) return;
  tenths_logged_ = tenths;
  log_.info("loading", "weights are being read",
            {{"layer", now.layers_done},
             {"layers", now.layers_total},
             {"bytes", static_cast<std::int64_t>(now.bytes_done)},
             {"bytes_total", static_cast<std::int64_t>(now.bytes_total)}});
}

}  // namespace troupe::services
