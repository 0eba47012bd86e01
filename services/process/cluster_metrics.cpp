// From statuses, reports and /proc to metrics.
#include "services/process/cluster_metrics.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include "kernels/registry.hpp"
#include "services/process/revision.hpp"
#include "services/runtime/metrics/transports.hpp"
#include "transport/ucx/ucx_version.hpp"

namespace troupe::services {
namespace {

constexpr std::array<actors::MemberState, 5> kStates{
    actors::MemberState::loading, actors::MemberState::active, actors::MemberState::suspect,
    actors::MemberState::draining, actors::MemberState::lost};

std::string state_name(actors::MemberState state) {
  std::string name(actors::to_string(state));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return name;
}

constexpr std::array<proto::Role, 4> kRoles{proto::Role::gateway, proto::Role::attention,
                                            proto::Role::router, proto::Role::expert};

constexpr std::array<actors::LinkEnding, actors::kLinkEndings> kEndings{
    actors::LinkEnding::lost, actors::LinkEnding::malformed, actors::LinkEnding::cut_off,
    actors::LinkEnding::left};

const char* name_of(actors::LinkEnding how) {
  switch (how) {
    case actors::LinkEnding::lost: return "lost";
    case actors::LinkEnding::malformed: return "malformed";
    case actors::LinkEnding::cut_off: return "cut_off";
    case actors::LinkEnding::left: break;
  }
  return "left";
}

bool is_error(actors::LinkEnding how) { return how != actors::LinkEnding::left; }

/// The fields of /proc/self/stat behind the name; number 3 of proc(5) is [0].
std::vector<double> process_stat() {
  std::ifstream file("/proc/self/stat");
  std::string text;
  std::getline(file, text);
  std::istringstream rest(text.substr(std::min(text.rfind(')') + 2, text.size())));
  std::string state;
  rest >> state;
  std::vector<double> fields{0};
  for (double value = 0; rest >> value;) fields.push_back(value);
  return fields;
}

/// Seconds since 1970 at which the machine was started.
double boot_time() {
  std::ifstream file("/proc/stat");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("btime ")) return std::stod(line.substr(6));
  return 0;
}

std::size_t open_descriptors() {
  std::error_code failed;
  const std::filesystem::directory_iterator entries("/proc/self/fd", failed);
  return failed ? 0 : static_cast<std::size_t>(std::distance(begin(entries), end(entries)));
}

}  // namespace

ClusterMetrics::ClusterMetrics(MetricBook& book, std::string model)
    : book_(book), model_(std::move(model)) {
  book_.declare(kClusterMetrics);
  for (const auto transport : kTransports) {
    const std::string name(transport);
    book_.set(kTransportEndpoints, {name, "open"}, 0);
    for (const auto role : kRoles)
      for (const char* direction : {"tx", "rx"}) {
        const LabelValues labels{name, direction, std::string(proto::to_string(role))};
        book_.add(kTransportBytes, labels, 0);
        book_.add(kTransportMessages, labels, 0);
      }
  }
  for (const auto transport : kTransports)
    for (const auto how : kEndings) {
      const LabelValues labels{std::string(transport), name_of(how)};
      if (is_error(how)) book_.add(kTransportErrors, labels, 0);
      book_.add(kTransportReconnects, labels, 0);
    }
  for (const char* reason : {"malformed", "stale"}) book_.add(kTransportDropped, {reason}, 0);
  book_.set(kBuildInfo,
            {TROUPE_VERSION, kRevision, std::string(kernels::kNumericsClass), TROUPE_BUILD_TYPE,
             transport::ucx_version()},
            1);
  take({});
  take_process();
}

void ClusterMetrics::take_link(const actors::LinkReport& link) {
  const std::string transport(transport_of(link.lanes));
  const std::string role(proto::to_string(actors::role_of(link.peer)));
  LinkGrowth& growth = links_[{link.self, link.peer}];
  const auto add = [&](const MetricSpec& metric, const char* direction,
                       Growth<std::uint64_t>& total, std::uint64_t now) {
    book_.add(metric, {transport, direction, role}, static_cast<double>(total.take(now)));
  };
  add(kTransportBytes, "tx", growth.bytes_tx, link.stats.bytes_sent_total);
  add(kTransportBytes, "rx", growth.bytes_rx, link.stats.bytes_received_total);
  add(kTransportMessages, "tx", growth.frames_tx, link.stats.frames_sent_total);
  add(kTransportMessages, "rx", growth.frames_rx, link.stats.frames_received_total);
  book_.add(kTransportDropped, {"malformed"},
            static_cast<double>(growth.malformed.take(link.stats.malformed_total)));
  book_.add(kTransportDropped, {"stale"},
            static_cast<double>(growth.stale.take(link.stats.stale_total)));
}

void ClusterMetrics::take_endings(const actors::LinkEndings& endings) {
  const std::string transport(transport_of(endings.lanes));
  EndingGrowth& growth = endings_[{endings.self, endings.lanes}];
  for (const auto how : kEndings) {
    const auto i = static_cast<std::size_t>(how);
    const LabelValues labels{transport, name_of(how)};
    const auto ended = growth.ended[i].take(endings.ended_total[i]);
    if (is_error(how)) book_.add(kTransportErrors, labels, static_cast<double>(ended));
    book_.add(kTransportReconnects, labels,
              static_cast<double>(growth.rejoined[i].take(endings.rejoined_total[i])));
  }
}

void ClusterMetrics::take(const actors::RoleStatuses& statuses) {
  book_.set(kPlacementEpoch, {model_}, static_cast<double>(statuses.epoch));
  std::map<std::string_view, int> open;
  for (const auto& link : statuses.links) {
    take_link(link);
    ++open[transport_of(link.lanes)];
  }
  for (const auto& endings : statuses.link_endings) take_endings(endings);
  for (const auto transport : kTransports)
    book_.set(kTransportEndpoints, {std::string(transport), "open"}, open[transport]);
}

void ClusterMetrics::take_ranks(const actors::ClusterReport& report) {
  std::map<actors::MemberState, int> counts;
  for (const auto& member : report.members)
    if (actors::role_of(member.entry.peer) == proto::Role::expert) ++counts[member.entry.state];
  for (const auto state : kStates)
    book_.set(kPlacementRanks, {model_, state_name(state)}, counts[state]);
}

void ClusterMetrics::take_process() {
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  book_.set(kMetricsTimestamp, {}, now.count());
  constexpr std::size_t kUser = 14 - 3, kSystem = 15 - 3, kThreads = 20 - 3, kStart = 22 - 3;
  constexpr std::size_t kVirtual = 23 - 3, kResident = 24 - 3;
  const auto stat = process_stat();
  if (stat.size() <= kResident) return;
  const double ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  book_.add(kProcessCpu, {}, cpu_.take((stat[kUser] + stat[kSystem]) / ticks));
  book_.set(kProcessThreads, {}, stat[kThreads]);
  book_.set(kProcessStart, {}, boot_time() + stat[kStart] / ticks);
  book_.set(kProcessVirtual, {}, stat[kVirtual]);
  book_.set(kProcessResident, {}, stat[kResident] * static_cast<double>(::sysconf(_SC_PAGESIZE)));
  book_.set(kProcessFds, {}, static_cast<double>(open_descriptors()));
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  book_.set(kProcessMaxFds, {}, static_cast<double>(limit.rlim_cur));
}

}  // namespace troupe::services
