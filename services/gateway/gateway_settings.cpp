// Keys `gateway.*` and `tls.*`, each once.
#include "services/gateway/gateway_settings.hpp"

namespace troupe::services {
namespace {

http::ServerSettings http_settings(const ServiceConfig& config) {
  const auto& from = config.gateway;
  http::ServerSettings settings;
  settings.listen = from.http_listen;
  settings.api.strict = from.strict_api;
  settings.api.version = TROUPE_VERSION;
  settings.api.generation.request_time_max = from.http_request;
  settings.cert_file = config.tls.cert_file;
  settings.key_file = config.tls.key_file;
  settings.body_bytes_max = static_cast<std::size_t>(from.http_body_mib) << 20;
  settings.connections_max = static_cast<std::size_t>(from.http_connections_max);
  settings.requests_max = static_cast<std::size_t>(from.http_requests_max);
  settings.read_time_max = from.http_read;
  settings.write_time_max = from.http_write;
  settings.idle_time_max = from.http_idle;
  return settings;
}

}  // namespace

GrpcSettings grpc_settings(const ServiceConfig& config, const Address& listen) {
  GrpcSettings settings;
  settings.listen = listen;
  settings.reflection = config.gateway.grpc_reflection;
  return settings;
}

GatewayServerSettings gateway_server_settings(const ServiceConfig& config) {
  GatewayServerSettings settings;
  settings.grpc = grpc_settings(config, config.gateway.grpc_listen);
  settings.http = http_settings(config);
  settings.api_keys_file = config.gateway.api_keys_file;
  settings.rules = {config.gateway.requests_max, config.gateway.share_prompts};
  settings.stream.pending_bytes_max = static_cast<std::size_t>(config.gateway.stream_pending_kib)
                                      << 10;
  return settings;
}

}  // namespace troupe::services
