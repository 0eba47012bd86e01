// What carries frames, as the label `transport` names it.
#pragma once
#include <array>
#include <string_view>

namespace troupe::services {

inline constexpr std::array<std::string_view, 4> kTransports{"inproc", "ucx_shm", "ucx_tcp",
                                                             "ucx_rc"};

/// Of the lanes a link reports ("inproc", "posix cma", "tcp", "rc_mlx5 ...").
constexpr std::string_view transport_of(std::string_view lanes) {
  if (lanes.find("inproc") != lanes.npos) return "inproc";
  if (lanes.find("rc") != lanes.npos) return "ucx_rc";
  if (lanes.find("posix") != lanes.npos || lanes.find("sysv") != lanes.npos ||
      lanes.find("cma") != lanes.npos)
    return "ucx_shm";
  return "ucx_tcp";
}

}  // namespace troupe::services
