// What the probes of a service ask and how the answers read.
#pragma once
#include <functional>
#include <string>
#include <vector>

namespace troupe::services {

/// One thing a probe looks at.
struct HealthCheck {
  std::string name;    // "weights"
  std::string reason;  // why it is not well; empty: it is
};
using HealthChecks = std::vector<HealthCheck>;

/// All are well.
bool healthy(const HealthChecks& checks);
/// One line for each: "[+]weights ok" or "[-]weights layer 3 of 61", then the verdict.
std::string verbose_text(const HealthChecks& checks);
/// The reasons in one line, "ok" when there are none.
std::string short_text(const HealthChecks& checks);

/// Where probes get their answers. *Threading*: all but `metrics` are called from one thread of the
/// ops port and from several of a gateway's HTTP port, and must not wait for anybody; `metrics` has
/// a thread of its own and may take seconds.
struct HealthSources {
  std::function<HealthChecks()> live;  // must depend on nobody else
  std::function<HealthChecks()> ready;
  std::function<HealthChecks()> started;
  std::function<double()> load_progress;  // 0 to 1
  std::function<std::string()> metrics;
};

}  // namespace troupe::services
