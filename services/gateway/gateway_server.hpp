// The gateway's public ports: gRPC and HTTP on an engine. Neither library in here.
#pragma once
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "services/gateway/answer_stream.hpp"
#include "services/gateway/gateway_state.hpp"
#include "services/gateway/grpc/listening_server.hpp"
#include "services/gateway/http/server.hpp"
#include "services/gateway/worker_threads.hpp"

namespace troupe::services {

struct GatewayServerSettings {
  GrpcSettings grpc;
  http::ServerSettings http;
  AnswerStream::Limits stream;  // of both
  std::string api_keys_file;    // empty: no keys are asked for
  GatewayState::Rules rules;
  std::chrono::milliseconds health_period{250};  // how soon health follows the engine's readiness
};

/// *Threading*: any.
class GatewayServer {
 public:
  /// `model` and `engine` must outlive it. `placement_epoch` is asked every health_period, from a
  /// thread of its own; it may block a little. *Errors*: those of ListeningServer::start,
  /// http::Server::start and ApiKeys::load; their text names the configuration key.
  static Expected<std::unique_ptr<GatewayServer>> start(
      const ServedModel& model, actors::RequestEngine& engine,
      const GatewayServerSettings& settings, std::function<std::uint64_t()> placement_epoch,
      GatewayHooks hooks = {});
  /// Ends open answers with UNAVAILABLE / DRAINING and joins all threads.
  ~GatewayServer();

  std::string address() const { return grpc_->address(); }
  std::uint16_t port() const { return grpc_->port(); }
  std::string http_url() const { return http_->url(); }
  std::uint16_t http_port() const { return http_->port(); }
  /// From now on requests are refused with UNAVAILABLE / DRAINING, and health says NOT_SERVING;
  /// open calls go on.
  void drain();
  const OpenCalls& calls_open() const { return state_.calls_open; }
  /// Asks engine and placement now and tells health, instead of within a health_period.
  void refresh();

 private:
  GatewayServer(const ServedModel& model, actors::RequestEngine& engine, GatewayHooks hooks,
                const GatewayServerSettings& settings,
                std::function<std::uint64_t()> placement_epoch);
  Expected<void> load_keys();
  void reload_keys();
  void watch();

  GatewayState state_;
  const std::chrono::milliseconds period_;
  const std::string keys_file_;
  std::filesystem::file_time_type keys_time_{};  // of the file that was read last
  std::function<std::uint64_t()> placement_epoch_;
  WorkerThreads compilers_;  // of forms that calls over gRPC ask for
  std::unique_ptr<ListeningServer> grpc_;
  std::unique_ptr<http::Server> http_;
  std::mutex refreshing_;  // drain() and the watcher
  std::mutex mutex_;
  std::condition_variable stopping_changed_;
  bool stopping_ = false;
  std::thread watcher_;
};

}  // namespace troupe::services
