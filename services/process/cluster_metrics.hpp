// Metrics every service has: its place in the cluster, its links, its process.
#pragma once
#include <array>
#include <map>
#include <string>
#include <tuple>

#include "actors/membership.hpp"
#include "actors/role_statuses.hpp"
#include "services/runtime/metrics/metric_book.hpp"

namespace troupe::services {

inline constexpr MetricSpec kPlacementEpoch{"troupe_placement_epoch", MetricKind::gauge, "model",
                                            "Placement this service uses; 0: none yet"};
inline constexpr MetricSpec kPlacementRanks{
    "troupe_placement_ranks", MetricKind::gauge, "model, state",
    "Expert services by state, from the routers; state: loading, active, suspect, draining, lost"};
inline constexpr MetricSpec kTransportBytes{
    "troupe_transport_bytes_total", MetricKind::counter, "transport, direction, peer_role",
    "Bytes of frames; transport: inproc, ucx_shm, ucx_tcp, ucx_rc; direction: tx, rx"};
inline constexpr MetricSpec kTransportMessages{"troupe_transport_messages_total",
                                               MetricKind::counter,
                                               "transport, direction, peer_role", "Frames"};
inline constexpr MetricSpec kTransportDropped{
    "troupe_transport_frames_dropped_total", MetricKind::counter, "reason",
    "Frames that came and were not used; reason: malformed, stale"};
inline constexpr MetricSpec kTransportEndpoints{"troupe_transport_endpoints", MetricKind::gauge,
                                                "transport, state", "Links; state: open"};
inline constexpr MetricSpec kTransportErrors{
    "troupe_transport_errors_total", MetricKind::counter, "transport, reason",
    "Links that ended without a goodbye; reason: lost (the peer went), malformed (it broke the "
    "format), cut_off (given up: silent, evicted, or it took nothing more)"};
inline constexpr MetricSpec kTransportReconnects{
    "troupe_transport_reconnects_total", MetricKind::counter, "transport, reason",
    "Peers that came back; reason: how their link had ended: lost, malformed, cut_off, left"};
inline constexpr MetricSpec kBuildInfo{
    "troupe_build_info", MetricKind::gauge, "version, revision, numerics_class, build, ucx",
    "1; what is running is in the labels; revision: of the sources, unknown outside of a checkout"};
inline constexpr MetricSpec kProcessCpu{"process_cpu_seconds_total", MetricKind::counter, "",
                                        "User and system time"};
inline constexpr MetricSpec kProcessResident{"process_resident_memory_bytes", MetricKind::gauge, "",
                                             "Memory in use, mapped weights included"};
inline constexpr MetricSpec kProcessVirtual{"process_virtual_memory_bytes", MetricKind::gauge, "",
                                            "Address space in use"};
inline constexpr MetricSpec kProcessFds{"process_open_fds", MetricKind::gauge, "",
                                        "Open file descriptors"};
inline constexpr MetricSpec kProcessMaxFds{"process_max_fds", MetricKind::gauge, "",
                                           "File descriptors that may be open"};
inline constexpr MetricSpec kProcessThreads{"process_threads", MetricKind::gauge, "", "Threads"};
inline constexpr MetricSpec kProcessStart{"process_start_time_seconds", MetricKind::gauge, "",
                                          "When it started, seconds since 1970"};
inline constexpr MetricSpec kMetricsTimestamp{
    "troupe_metrics_timestamp_seconds", MetricKind::gauge, "",
    "When these values were collected, seconds since 1970; far behind the scrape: a role of this "
    "process does not answer"};
inline constexpr const MetricSpec* kClusterMetrics[]{
    &kPlacementEpoch,   &kPlacementRanks,     &kTransportBytes,  &kTransportMessages,
    &kTransportDropped, &kTransportEndpoints, &kTransportErrors, &kTransportReconnects,
    &kBuildInfo,        &kProcessCpu,         &kProcessResident, &kProcessVirtual,
    &kProcessFds,       &kProcessMaxFds,      &kProcessThreads,  &kProcessStart,
    &kMetricsTimestamp};

/// Keeps them current. *Threading*: one caller at a time.
class ClusterMetrics {
 public:
  /// Creates every label set at 0. `book` must outlive this.
  ClusterMetrics(MetricBook& book, std::string model);
  void take(const actors::RoleStatuses& statuses);
  void take_ranks(const actors::ClusterReport& report);
  /// Reads /proc and the clock.
  void take_process();

 private:
  struct LinkGrowth {
    Growth<std::uint64_t> bytes_tx, bytes_rx, frames_tx, frames_rx, malformed, stale;
  };
  struct EndingGrowth {
    std::array<Growth<std::uint64_t>, actors::kLinkEndings> ended, rejoined;
  };
  void take_link(const actors::LinkReport& link);
  void take_endings(const actors::LinkEndings& endings);

  MetricBook& book_;
  std::string model_;
  std::map<std::pair<actors::PeerId, actors::PeerId>, LinkGrowth> links_;
  std::map<std::pair<actors::PeerId, std::string>, EndingGrowth> endings_;  // by role and lanes
  Growth<double> cpu_;
};

}  // namespace troupe::services
