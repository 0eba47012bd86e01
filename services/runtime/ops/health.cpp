// The text of probes.
#include "services/runtime/ops/health.hpp"

#include <algorithm>

namespace troupe::services {

bool healthy(const HealthChecks& checks) {
  return std::all_of(checks.begin(), checks.end(),
                     [](const HealthCheck& check) { return check.reason.empty(); });
}

std::string verbose_text(const HealthChecks& checks) {
  std::string out;
  for (const HealthCheck& check : checks)
    out += check.reason.empty() ? "[+]" + check.name + " ok\n"
                                : "[-]" + check.name + " " + check.reason + "\n";
  return out + (healthy(checks) ? "ok\n" : "not ok\n");
}

std::string short_text(const HealthChecks& checks) {
  std::string out;
  for (const HealthCheck& check : checks)
    if (!check.reason.empty()) out += (out.empty() ? "" : "; ") + check.name + ": " + check.reason;
  return out.empty() ? "ok" : out;
}

}  // namespace troupe::services
