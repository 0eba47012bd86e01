// The gateway's public port: InferenceService, health and reflection on an engine. No gRPC in here.
#pragma once
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "services/gateway/answer_stream.hpp"
#include "services/gateway/gateway_state.hpp"
#include "services/gateway/grpc/listening_server.hpp"

namespace troupe::services {

struct GatewayServerSettings {
  GrpcSettings grpc;
  AnswerStream::Limits stream;
  std::chrono::milliseconds health_period{250};  // how soon health follows the engine's readiness
};

/// *Threading*: any.
class GatewayServer {
 public:
  /// `model` and `engine` must outlive it. `placement_epoch` is asked every health_period, from a
  /// thread of its own; it may block a little. *Errors*: those of ListeningServer::start.
  static Expected<std::unique_ptr<GatewayServer>> start(
      const ServedModel& model, actors::RequestEngine& engine,
      const GatewayServerSettings& settings, std::function<std::uint64_t()> placement_epoch,
      GatewayHooks hooks = {});
  /// Ends open answers with UNAVAILABLE / DRAINING and joins all threads.
  ~GatewayServer();

  std::string address() const { return server_->address(); }
  std::uint16_t port() const { return server_->port(); }
  /// From now on requests are refused with UNAVAILABLE / DRAINING, and health says NOT_SERVING;
  /// open calls go on.
  void drain();
  std::int64_t calls_open() const { return state_.calls_open; }

 private:
  GatewayServer(const ServedModel& model, actors::RequestEngine& engine, GatewayHooks hooks,
                std::chrono::milliseconds period, std::function<std::uint64_t()> placement_epoch);
  void watch();
  void refresh();

  GatewayState state_;
  const std::chrono::milliseconds period_;
  std::function<std::uint64_t()> placement_epoch_;
  std::unique_ptr<ListeningServer> server_;
  std::mutex refreshing_;  // drain() and the watcher
  std::mutex mutex_;
  std::condition_variable stopping_changed_;
  bool stopping_ = false;
  std::thread watcher_;
};

}  // namespace troupe::services
