// The operators' port: ClusterService from a function that reports. No gRPC in here.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "actors/membership.hpp"
#include "services/gateway/grpc/listening_server.hpp"

namespace troupe::services {

/// Asks whoever knows the cluster. May block for seconds; called from any thread.
using ClusterReporter = std::function<Expected<actors::ClusterReport>()>;

/// *Threading*: any.
class AdminServer {
 public:
  /// *Errors*: those of ListeningServer::start.
  static Expected<std::unique_ptr<AdminServer>> start(GrpcSettings settings,
                                                      ClusterReporter reporter);
  std::string address() const { return server_->address(); }
  std::uint16_t port() const { return server_->port(); }

 private:
  explicit AdminServer(std::unique_ptr<ListeningServer> server) : server_(std::move(server)) {}
  std::unique_ptr<ListeningServer> server_;
};

}  // namespace troupe::services
