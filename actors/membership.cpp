// Names of member states and refusals, and a shard's part of a table of experts.
#include "actors/membership.hpp"

namespace troupe::actors {

std::string_view to_string(MemberState state) {
  switch (state) {
    case MemberState::loading: return "LOADING";
    case MemberState::active: return "ACTIVE";
    case MemberState::suspect: return "SUSPECT";
    case MemberState::draining: return "DRAINING";
    case MemberState::lost: return "LOST";
  }
  return "UNKNOWN";
}

std::string_view to_string(Refusal refusal) {
  switch (refusal) {
    case Refusal::none: return "none";
    case Refusal::token: return "token";
    case Refusal::cluster: return "cluster";
    case Refusal::version: return "version";
    case Refusal::numerics: return "numerics";
    case Refusal::ranks: return "ranks";
    case Refusal::rank_taken: return "rank_taken";
    case Refusal::evicted: return "evicted";
    case Refusal::full: return "full";
    case Refusal::malformed: return "malformed";
  }
  return "unknown";
}

std::vector<std::int64_t> held_columns(const std::vector<std::int64_t>& tokens,
                                       std::int64_t experts,
                                       const model::ExpertModel::Range& range) {
  std::vector<std::int64_t> held;
  for (auto row = tokens.begin(); row != tokens.end(); row += experts)
    held.insert(held.end(), row + range.first, row + range.last);
  return held;
}

bool may_pass(Refusal refusal) {
  return refusal == Refusal::none || refusal == Refusal::rank_taken || refusal == Refusal::full;
}

}  // namespace troupe::actors
