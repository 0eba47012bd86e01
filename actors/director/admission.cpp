// The checks of an announcement, in the order in which they may be answered.
#include "actors/director/admission.hpp"

#include <cstdio>
#include <string>
#include <variant>

#include "core/hmac.hpp"

namespace troupe::actors {
namespace {

std::string hex(std::uint64_t number) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(number));
  return text;
}

std::string text(const model::ExpertModel::Range& range) {
  std::string shown = "[";
  shown += std::to_string(range.first);
  shown += ", ";
  shown += std::to_string(range.last);
  shown += ")";
  return shown;
}

AdmissionFault refuse(Refusal refusal, Errc code, std::string detail) {
  return {refusal, {code, std::move(detail)}};
}

AdmissionFault check_identity(const DirectorSettings& settings, const Announcement& announcement,
                              const std::string& who) {
  if (announcement.cluster_id != settings.cluster_id)
    return refuse(Refusal::cluster, Errc::unavailable,
                  who + " belongs to cluster " + hex(announcement.cluster_id) + ", router " +
                      std::to_string(settings.router_index) + " to " + hex(settings.cluster_id) +
                      "; give both the same cluster.name, or the right routers");
  const auto version = proto::choose_version(
      settings.versions, {announcement.protocol_oldest, announcement.protocol_newest});
  if (const auto* fault = std::get_if<proto::Malformed>(&version))
    return refuse(Refusal::version, Errc::unsupported,
                  who + ": " + fault->text + "; run releases that are at most one apart");
  if (announcement.numerics_id != settings.numerics_id)
    return refuse(Refusal::numerics, Errc::unsupported,
                  who + " has numerics id " + hex(announcement.numerics_id) + ", this cluster " +
                      hex(settings.numerics_id) +
                      "; serve the same model revision, mode, KV cache and class of machine");
  return {};
}

AdmissionFault check_rank(const DirectorSettings& settings, std::int64_t experts,
                          const Announcement& announcement, const std::string& who) {
  const auto rank = index_of(announcement.peer);
  if (announcement.expert_ranks != settings.expert_ranks)
    return refuse(Refusal::ranks, Errc::invalid_argument,
                  who + " is configured for " + std::to_string(announcement.expert_ranks) +
                      " expert ranks, this cluster for " + std::to_string(settings.expert_ranks) +
                      "; set expert.ranks to the same number everywhere");
  if (rank >= settings.expert_ranks)
    return refuse(Refusal::ranks, Errc::invalid_argument,
                  who + " in a cluster of " + std::to_string(settings.expert_ranks) +
                      " expert ranks, which count from 0; set expert.rank below expert.ranks");
  const auto needed = model::ExpertModel::range_of(rank, settings.expert_ranks, experts);
  const auto& held = announcement.experts;
  if (held.first > needed.first || held.last < needed.last || held.last > experts)
    return refuse(Refusal::ranks, Errc::invalid_argument,
                  who + " holds experts " + text(held) + ", its rank of " +
                      std::to_string(settings.expert_ranks) + " needs " + text(needed) + " of " +
                      std::to_string(experts) + "; start it with the same model and expert.ranks");
  return {};
}

bool known_role(proto::Role role) {
  return role >= proto::Role::gateway && role <= proto::Role::expert;
}

}  // namespace

AdmissionFault check_admission(const DirectorSettings& settings, std::int64_t experts,
                               const Announcement& announcement) {
  if (!equal_in_constant_time(settings.join_token, announcement.join_token))
    return refuse(Refusal::token, Errc::unavailable,
                  "the join token is not this cluster's; give all services the same one");
  const auto role = role_of(announcement.peer);
  if (!known_role(role) || announcement.incarnation == 0 ||
      announcement.state > MemberState::draining || announcement.state == MemberState::suspect)
    return refuse(Refusal::malformed, Errc::malformed,
                  "an announcement with an unknown role or state, or without an incarnation");
  const auto who = name_of(announcement.peer);
  if (auto fault = check_identity(settings, announcement, who); fault.refusal != Refusal::none)
    return fault;
  if (role == proto::Role::expert) return check_rank(settings, experts, announcement, who);
  const auto index = index_of(announcement.peer);
  if (role == proto::Role::router && index >= settings.routers_count)
    return refuse(Refusal::ranks, Errc::invalid_argument,
                  who + " in a cluster of " + std::to_string(settings.routers_count) +
                      " routers, which count from 0; list all of them in cluster.routers");
  return {};
}

}  // namespace troupe::actors
