// grpc::ServerBuilder on a port that an acceptor of ours keeps.
#include "services/gateway/grpc/listening_server.hpp"

#include <grpc/health/v1/health.pb.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/service_type.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/server_interceptor.h>

#include <climits>
#include <mutex>
#include <optional>
#include <utility>

#include "services/gateway/grpc/acceptor.hpp"
#include "services/gateway/grpc/call.hpp"
#include "services/gateway/grpc/grpc_log.hpp"
#include "services/gateway/grpc/reset_limit.hpp"

namespace troupe::services {
namespace {

constexpr std::chrono::seconds kShutdownGrace{2};
/// A call that is reset within this time of its beginning was taken back at once.
constexpr std::chrono::seconds kAtOnce{1};
/// What a request may be too long by and still come in, to be told so by us.
constexpr std::size_t kExplained = std::size_t{1} << 20;

/// Once per process, before the first server.
void prepare_process() {
  static std::once_flag once;
  std::call_once(once, [] {
    capture_protobuf_log();
    capture_grpc_log();
    grpc::EnableDefaultHealthCheckService(true);
    // health.proto stays in the program only if it is named: reflection describes it.
    google::protobuf::LinkMessageReflection<grpc::health::v1::HealthCheckRequest>();
  });
}

int clamp_ms(std::chrono::milliseconds time) {
  return static_cast<int>(std::min<std::int64_t>(time.count(), INT_MAX));
}

/// gRPC's library gives reflection to every server of a program that links it. This one has it as
/// its settings say, once.
class Reflection final : public grpc::ServerBuilderOption {
 public:
  explicit Reflection(bool wanted) : wanted_(wanted) {}
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    auto own = std::make_unique<grpc::reflection::ProtoServerReflectionPlugin>();
    std::erase_if(*plugins, [&own](const auto& one) { return one->name() == own->name(); });
    if (wanted_) plugins->push_back(std::move(own));
  }

 private:
  const bool wanted_;
};

/// Tells the limit how a call ended. Most that are reset at once never become calls of a service.
class CallEnd final : public grpc::experimental::Interceptor {
 public:
  CallEnd(const grpc::ServerContextBase& context, ResetLimit& limit)
      : context_(context),
        limit_(limit),
        blocks_(dynamic_cast<const grpc::CallbackServerContext*>(&context) == nullptr) {}
  void Intercept(grpc::experimental::InterceptorBatchMethods* batch) override {
    using Hook = grpc::experimental::InterceptionHookPoints;
    // IsCancelled() of a method that blocks looks for that very event, and would come here again.
    const auto over = blocks_ ? Hook::PRE_SEND_STATUS : Hook::POST_RECV_CLOSE;
    if (batch->QueryInterceptionHookPoint(over)) {
      const auto now = std::chrono::steady_clock::now();
      limit_.call_over(context_.peer(), now - begun_ < kAtOnce && context_.IsCancelled(), now);
    }
    batch->Proceed();
  }

 private:
  const grpc::ServerContextBase& context_;
  ResetLimit& limit_;
  const bool blocks_;
  const std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
};

class CallEnds final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit CallEnds(ResetLimit& limit) : limit_(limit) {}
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* call) override {
    return new CallEnd(*call->server_context(), limit_);
  }

 private:
  ResetLimit& limit_;
};

void limit_resets(grpc::ServerBuilder& builder, ResetLimit& limit) {
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> all;
  all.push_back(std::make_unique<CallEnds>(limit));
  builder.experimental().SetInterceptorCreators(std::move(all));
}

ResetLimit::OnEnded tell_of_resets(const GrpcSettings& settings) {
  if (!settings.on_stranger) return {};
  return [port = settings.port_name, tell = settings.on_stranger](const Address& peer) {
    tell({port, peer, "resets", "it took back nearly all of its calls as soon as they had begun"});
  };
}

void configure(grpc::ServerBuilder& builder, const GrpcSettings& settings) {
  builder.SetMaxReceiveMessageSize(static_cast<int>(kMessageBytesMax + kExplained));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, settings.streams_max);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, clamp_ms(settings.connection_age_max));
  // The grace must exceed the longest stream: a stream ends by itself or by its deadline.
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, INT_MAX);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             clamp_ms(settings.ping_interval_min));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.SetOption(std::make_unique<Reflection>(settings.reflection));
  // Methods that block (reflection) have threads of their own: few.
  builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MIN_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 2);
}

std::shared_ptr<grpc::ServerCredentials> credentials(const GrpcSettings& settings) {
  if (settings.certificate.empty()) return grpc::InsecureServerCredentials();
  grpc::SslServerCredentialsOptions options;
  options.pem_key_cert_pairs.push_back({settings.key, settings.certificate});
  return grpc::SslServerCredentials(options);
}

/// What makes a connection of ours one of the server's.
Acceptor::HandOn take_connections(grpc::ServerBuilder& builder, const GrpcSettings& settings,
                                  ResetLimit& limit) {
  using Kind = grpc::ServerBuilder::experimental_type::ExternalConnectionType;
  using Taker = grpc::experimental::ExternalConnectionAcceptor;
  const std::shared_ptr<Taker> taker =
      builder.experimental().AddExternalConnectionAcceptor(Kind::FROM_FD, credentials(settings));
  return [taker, &limit](Descriptor socket) {
    limit.watch(socket.get(), peer_of(socket));
    Taker::NewConnectionParameters taken;
    taken.listener_fd = -1;
    taken.fd = socket.release();
    taker->HandleNewConnection(&taken);
  };
}

}  // namespace

struct ListeningServer::Impl {
  std::vector<NamedService> services;
  std::unique_ptr<ResetLimit> resets;
  std::unique_ptr<grpc::Server> server;
  Address listen;  // with the port in use
  std::mutex said_mutex;
  std::optional<bool> said;  // to health, which sends it to all watchers however often it is said
  std::unique_ptr<Acceptor> acceptor;  // last: nothing is handed to a server that has ended
};

ListeningServer::ListeningServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Expected<std::unique_ptr<ListeningServer>> ListeningServer::start(
    const GrpcSettings& settings, std::vector<NamedService> services) {
  prepare_process();
  auto sockets = listen_on_all(settings.listen);
  if (!sockets) return unexpected(sockets.error());
  grpc::ServerBuilder builder;
  configure(builder, settings);
  auto impl = std::make_unique<Impl>();
  impl->services = std::move(services);
  impl->listen = {settings.listen.host, port_of(sockets->front())};
  impl->resets = std::make_unique<ResetLimit>(tell_of_resets(settings));
  limit_resets(builder, *impl->resets);
  auto hand_on = take_connections(builder, settings, *impl->resets);
  for (const auto& service : impl->services) builder.RegisterService(service.service.get());
  impl->server = builder.BuildAndStart();
  if (!impl->server) return unexpected(Errc::io, "gRPC does not start on " + impl->listen.text());
  AcceptorSettings accepting;
  accepting.port_name = settings.port_name;
  accepting.tls = !settings.certificate.empty();
  accepting.on_stranger = settings.on_stranger;
  impl->acceptor =
      std::make_unique<Acceptor>(*std::move(sockets), std::move(accepting), std::move(hand_on));
  std::unique_ptr<ListeningServer> server(new ListeningServer(std::move(impl)));
  server->set_serving(false);
  return server;
}

ListeningServer::~ListeningServer() {
  impl_->acceptor.reset();
  impl_->server->Shutdown(std::chrono::system_clock::now() + kShutdownGrace);
  impl_->server->Wait();
}

std::uint16_t ListeningServer::port() const { return impl_->listen.port; }

std::string ListeningServer::address() const { return impl_->listen.text(); }

void ListeningServer::set_serving(bool serving) {
  const std::lock_guard lock(impl_->said_mutex);
  if (std::exchange(impl_->said, serving) == serving) return;
  auto* health = impl_->server->GetHealthCheckService();
  health->SetServingStatus("", serving);
  for (const auto& service : impl_->services) health->SetServingStatus(service.name, serving);
}

}  // namespace troupe::services
