// The public port's life, and the thread that keeps health true.
#include "services/gateway/grpc/gateway_server.hpp"

#include "services/gateway/grpc/inference_service.hpp"

namespace troupe::services {

GatewayServer::GatewayServer(const ServedModel& model, actors::RequestEngine& engine,
                             GatewayHooks hooks, std::chrono::milliseconds period,
                             std::function<std::uint64_t()> placement_epoch)
    : state_(model, engine, std::move(hooks)),
      period_(period),
      placement_epoch_(std::move(placement_epoch)) {}

Expected<std::unique_ptr<GatewayServer>> GatewayServer::start(
    const ServedModel& model, actors::RequestEngine& engine, const GatewayServerSettings& settings,
    std::function<std::uint64_t()> placement_epoch, GatewayHooks hooks) {
  std::unique_ptr<GatewayServer> gateway(new GatewayServer(
      model, engine, std::move(hooks), settings.health_period, std::move(placement_epoch)));
  auto server = ListeningServer::start(settings.grpc,
                                       {make_inference_service(gateway->state_, settings.stream)});
  if (!server) return unexpected(server.error());
  gateway->server_ = *std::move(server);
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
  server_.reset();
}

void GatewayServer::drain() {
  state_.draining = true;
  refresh();
}

void GatewayServer::watch() {
  std::unique_lock lock(mutex_);
  while (!stopping_changed_.wait_for(lock, period_, [this] { return stopping_; })) {
    lock.unlock();
    refresh();
    lock.lock();
  }
}

void GatewayServer::refresh() {
  const std::lock_guard lock(refreshing_);
  if (placement_epoch_) state_.placement_epoch = placement_epoch_();
  server_->set_serving(!state_.refuse_now().has_value());
}

}  // namespace troupe::services
