// The ten lines a service says of itself when it is up.
#pragma once
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "services/process/run_service.hpp"

namespace troupe::services {

struct SummaryFacts {
  const ServiceOrder& order;
  const actors::NodeSettings& settings;
  const model::Checkpoint& checkpoint;
  const actors::ClusterNode& node;
  std::string served_name;
  std::vector<std::pair<std::string, std::string>> front;  // its ports
  std::chrono::milliseconds started_in{};
};

/// Name and value of each line; no secrets.
std::vector<std::pair<std::string, std::string>> summary_lines(const SummaryFacts& facts);

}  // namespace troupe::services
