// ClusterService: reports as messages.
#include "services/gateway/grpc/admin_server.hpp"

#include <grpcpp/server_context.h>
#include <troupe/admin/v1/cluster.grpc.pb.h>

#include <cinttypes>
#include <cstdio>

#include "model/numerics.hpp"
#include "services/gateway/api_error.hpp"
#include "services/gateway/grpc/call.hpp"
#include "services/gateway/grpc/status.hpp"
#include "services/gateway/request_planner.hpp"
#include "services/gateway/worker_threads.hpp"

namespace troupe::services {
namespace {

namespace admin = ::troupe::admin::v1;

std::string hexadecimal(std::uint64_t number) {
  char text[17];
  std::snprintf(text, sizeof text, "%016" PRIx64, number);
  return text;
}

admin::Role to_role(proto::Role role) {
  switch (role) {
    case proto::Role::gateway: return admin::ROLE_GATEWAY;
    case proto::Role::attention: return admin::ROLE_ATTENTION;
    case proto::Role::router: return admin::ROLE_ROUTER;
    case proto::Role::expert: return admin::ROLE_EXPERT;
  }
  return admin::ROLE_UNSPECIFIED;
}

admin::MemberState to_state(actors::MemberState state) {
  switch (state) {
    case actors::MemberState::loading: return admin::MEMBER_STATE_LOADING;
    case actors::MemberState::active: return admin::MEMBER_STATE_ACTIVE;
    case actors::MemberState::suspect: return admin::MEMBER_STATE_SUSPECT;
    case actors::MemberState::draining: return admin::MEMBER_STATE_DRAINING;
    case actors::MemberState::lost: return admin::MEMBER_STATE_LOST;
  }
  return admin::MEMBER_STATE_UNSPECIFIED;
}

void set_duration(std::chrono::microseconds time, google::protobuf::Duration& out) {
  out.set_seconds(time.count() / 1'000'000);
  out.set_nanos(static_cast<std::int32_t>(time.count() % 1'000'000) * 1000);
}

void set_member(const actors::MemberReport& report, admin::Member& out) {
  const proto::Role role = actors::role_of(report.entry.peer);
  out.set_role(to_role(role));
  out.set_index(actors::index_of(report.entry.peer));
  out.set_state(to_state(report.entry.state));
  out.set_incarnation(hexadecimal(report.entry.incarnation));
  out.set_process(hexadecimal(report.entry.process));
  out.set_load_progress(report.last_beat.load_progress);
  out.set_progress(report.last_beat.progress);
  set_duration(std::chrono::microseconds(report.last_beat.oldest_work_us),
               *out.mutable_oldest_work());
  out.set_queued_rows(report.last_beat.queued_rows);
  set_duration(report.silent, *out.mutable_silent());
  if (role == proto::Role::expert) {
    out.mutable_experts()->set_begin(report.experts.first);
    out.mutable_experts()->set_end(report.experts.last);
  }
  out.set_host(report.host);
  out.set_pid(report.pid);
  out.set_version(report.version);
  out.set_ops_address(report.ops_address);
}

admin::GetClusterStatusResponse to_message(const actors::ClusterReport& report) {
  admin::GetClusterStatusResponse out;
  out.set_term(report.term);
  out.set_epoch(report.epoch);
  out.set_serving(report.serving);
  out.set_system_fingerprint(model::fingerprint(report.numerics_id));
  out.set_expert_ranks(report.expert_ranks);
  for (const auto& member : report.members) set_member(member, *out.add_members());
  return out;
}

/// Callers that wait for a report at once, and those behind them.
constexpr WorkerThreads::Limits kReporters{.threads_max = 2, .waiting_max = 256};

using Raw =
    admin::ClusterService::WithRawCallbackMethod_GetClusterStatus<admin::ClusterService::Service>;

/// Requests come as bytes, so that what cannot be parsed is answered by us. The reporter may block:
/// it has threads of its own.
class ClusterService final : public Raw {
 public:
  explicit ClusterService(ClusterReporter reporter) : reporter_(std::move(reporter)) {}

  grpc::ServerUnaryReactor* GetClusterStatus(grpc::CallbackServerContext* context,
                                             const grpc::ByteBuffer* bytes,
                                             grpc::ByteBuffer* out) override {
    const std::string id = make_request_id();
    context->AddTrailingMetadata("x-request-id", id);
    auto* reactor = context->DefaultReactor();
    const auto reply = [=, this] {
      reactor->Finish(context->IsCancelled() ? grpc::Status::CANCELLED : answer(id, *out));
    };
    std::optional<ApiError> error;
    const auto fault = exception_of([&] {
      admin::GetClusterStatusRequest request;
      error = parse_message(*bytes, request);
    });
    if (fault || error) {
      reactor->Finish(to_status(fault ? *fault : *error, id));
    } else if (!reporters_.run(reply)) {
      const Error busy{Errc::overloaded, "too many ask for the status at once. Ask again later"};
      reactor->Finish(to_status(from_engine(busy), id));
    }
    return reactor;
  }

 private:
  grpc::Status answer(const std::string& id, grpc::ByteBuffer& out) const {
    std::optional<ApiError> error;
    const auto fault = exception_of([&] {
      const auto report = reporter_();
      if (report)
        out = serialize_message(to_message(*report));
      else
        error = from_engine(report.error());
    });
    if (fault || error) return to_status(fault ? *fault : *error, id);
    return grpc::Status::OK;
  }

  const ClusterReporter reporter_;
  WorkerThreads reporters_{kReporters};  // last: nothing is asked of what is gone
};

}  // namespace

Expected<std::unique_ptr<AdminServer>> AdminServer::start(GrpcSettings settings,
                                                          ClusterReporter reporter) {
  settings.port_name = "admin";
  auto server =
      ListeningServer::start(settings, {{admin::ClusterService::service_full_name(),
                                         std::make_shared<ClusterService>(std::move(reporter))}});
  if (!server) return unexpected(server.error());
  (*server)->set_serving(true);
  return std::unique_ptr<AdminServer>(new AdminServer(*std::move(server)));
}

}  // namespace troupe::services
