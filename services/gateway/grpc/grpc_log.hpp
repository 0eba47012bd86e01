// gRPC's own lines, for whoever logs for this process. No gRPC in here.
#pragma once
#include <string_view>

#include "core/door_log.hpp"
#include "services/runtime/log/logger.hpp"

namespace troupe::services {

/// While it lives, what gRPC has to say of level ERROR, as why a TLS handshake failed, is a line
/// `grpc` of `log`; otherwise gRPC is mute in this process once a server was started. Strangers
/// cause such lines: each place of gRPC's source has the bounds of a DoorLog.
/// *Threading*: one in a process at a time.
class GrpcLog {
 public:
  /// `log` must outlive it.
  explicit GrpcLog(Logger& log);
  GrpcLog(const GrpcLog&) = delete;
  ~GrpcLog();

  /// One at a time.
  void take(std::string_view text, std::string_view file, int line);

 private:
  Logger& log_;
  DoorLog lines_;
};

/// Has gRPC hand its lines to the GrpcLog there is.
void capture_grpc_log();

}  // namespace troupe::services
