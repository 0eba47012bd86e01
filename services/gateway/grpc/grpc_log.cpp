// gpr_set_log_function, and who stands behind it now.
#include "services/gateway/grpc/grpc_log.hpp"

#include <grpc/support/log.h>

#include <chrono>
#include <mutex>
#include <string>

#include "core/check.hpp"

namespace troupe::services {
namespace {

std::mutex g_grpc_log_mutex;
GrpcLog* g_grpc_log = nullptr;  // gRPC's function has no argument

void take_line(gpr_log_func_args* line) {
  if (line->severity != GPR_LOG_SEVERITY_ERROR) return;
  const std::lock_guard lock(g_grpc_log_mutex);
  if (g_grpc_log != nullptr) g_grpc_log->take(line->message, line->file, line->line);
}

}  // namespace

GrpcLog::GrpcLog(Logger& log) : log_(log) {
  const std::lock_guard lock(g_grpc_log_mutex);
  TROUPE_CHECK(g_grpc_log == nullptr, "one log of gRPC at a time");
  g_grpc_log = this;
}

GrpcLog::~GrpcLog() {
  const std::lock_guard lock(g_grpc_log_mutex);
  g_grpc_log = nullptr;
}

void GrpcLog::take(std::string_view text, std::string_view file, int line) {
  const std::string source =
      std::string(file.substr(file.rfind('/') + 1)) + ":" + std::to_string(line);
  const auto left_out = lines_.admit(source, std::chrono::steady_clock::now());
  if (!left_out) return;
  LogFields fields{{"source", source}};
  if (*left_out > 0) fields.emplace_back("lines_not_told", static_cast<std::int64_t>(*left_out));
  log_.warning("grpc", text, fields);
}

void capture_grpc_log() { gpr_set_log_function(&take_line); }

}  // namespace troupe::services
