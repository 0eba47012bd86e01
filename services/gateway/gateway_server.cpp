// The public ports' life, and the thread that keeps health true.
#include "services/gateway/gateway_server.hpp"

#include <fstream>
#include <iterator>

#include "model/checkpoint/files.hpp"
#include "services/gateway/grpc/inference_service.hpp"
#include "services/gateway/http/tls_context.hpp"

namespace troupe::services {
namespace {

/// Forms that are compiled at once. More wait, each with a place of the Admission, so that never
/// too many do.
constexpr std::size_t kCompilersMax = 4;

std::string whole_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// The same certificate for both ports. gRPC would not say what is wrong with it: OpenSSL does.
Expected<void> read_tls(const http::ServerSettings& from, GrpcSettings& to) {
  if (from.cert_file.empty() && from.key_file.empty()) return {};
  if (const auto checked = http::TlsContext::load(from.cert_file, from.key_file); !checked)
    return unexpected(checked.error());
  to.certificate = whole_file(from.cert_file);
  to.key = whole_file(from.key_file);
  return {};
}

}  // namespace

GatewayServer::GatewayServer(const ServedModel& model, actors::RequestEngine& engine,
                             GatewayHooks hooks, const GatewayServerSettings& settings,
                             std::function<std::uint64_t()> placement_epoch)
    : state_(model, engine, std::move(hooks), settings.rules),
      period_(settings.health_period),
      keys_file_(settings.api_keys_file),
      placement_epoch_(std::move(placement_epoch)),
      compilers_({.threads_max = kCompilersMax,
                  .waiting_max = static_cast<std::size_t>(settings.rules.requests_max)}) {}

Expected<std::unique_ptr<GatewayServer>> GatewayServer::start(
    const ServedModel& model, actors::RequestEngine& engine, const GatewayServerSettings& settings,
    std::function<std::uint64_t()> placement_epoch, GatewayHooks hooks) {
  std::unique_ptr<GatewayServer> gateway(
      new GatewayServer(model, engine, std::move(hooks), settings, std::move(placement_epoch)));
  if (auto loaded = gateway->load_keys(); !loaded) return unexpected(loaded.error());
  GrpcSettings public_port = settings.grpc;
  public_port.on_stranger = gateway->state_.hooks.on_stranger;
  if (auto read = read_tls(settings.http, public_port); !read) return unexpected(read.error());
  const auto compile = [raw = gateway.get()](std::function<void()> job) {
    return raw->compilers_.run(std::move(job));
  };
  auto grpc = ListeningServer::start(
      public_port, {make_inference_service(gateway->state_, {settings.stream, compile})});
  if (!grpc) return model::at("gateway.grpc_listen", grpc.error());
  gateway->grpc_ = *std::move(grpc);
  http::ServerSettings http = settings.http;
  http.api.generation.stream = settings.stream;
  auto listening = http::Server::start(gateway->state_, http);
  if (!listening) return unexpected(listening.error());
  gateway->http_ = *std::move(listening);
  gateway->refresh();
  gateway->watcher_ = std::thread([raw = gateway.get()] { raw->watch(); });
  return gateway;
}

GatewayServer::~GatewayServer() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stopping_changed_.notify_all();
  if (watcher_.joinable()) watcher_.join();
  state_.draining = true;
  state_.answers.abort_all();
  http_.reset();
  grpc_.reset();
}

void GatewayServer::drain() {
  state_.draining = true;
  http_->drain();
  refresh();
}

void GatewayServer::watch() {
  std::unique_lock lock(mutex_);
  while (!stopping_changed_.wait_for(lock, period_, [this] { return stopping_; })) {
    lock.unlock();
    refresh();
    reload_keys();
    lock.lock();
  }
}

Expected<void> GatewayServer::load_keys() {
  if (keys_file_.empty()) return {};
  std::error_code ignored;
  keys_time_ = std::filesystem::last_write_time(keys_file_, ignored);
  auto keys = ApiKeys::load(keys_file_);
  if (!keys)
    return unexpected(Errc::invalid_argument, "gateway.api_keys_file: " + keys.error().detail +
                                                  ". `troupe keys add` writes such a file");
  if (state_.access) {
    state_.access->replace(*std::move(keys));
  } else {
    state_.access = std::make_unique<Access>(*std::move(keys));
  }
  return {};
}

/// A file that cannot be used changes nothing: who was let in stays in.
void GatewayServer::reload_keys() {
  if (keys_file_.empty()) return;
  std::error_code failed;
  const auto time = std::filesystem::last_write_time(keys_file_, failed);
  if (failed || time == keys_time_) return;
  const auto loaded = load_keys();
  if (state_.hooks.on_keys) state_.hooks.on_keys(loaded ? "" : loaded.error().detail);
}

void GatewayServer::refresh() {
  const std::lock_guard lock(refreshing_);
  if (placement_epoch_) state_.placement_epoch = placement_epoch_();
  grpc_->set_serving(!state_.draining && state_.engine.readiness().ready());
}

}  // namespace troupe::services
