// Everything a service process can be told, with its defaults: what the configuration table fills.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/expected.hpp"

namespace troupe::services {

/// Where to listen or connect. Port 0 in a listening address: any free one.
struct Address {
  std::string host;
  std::uint16_t port = 0;

  std::string text() const;  // "host:port", "[v6]:port"
  friend bool operator==(const Address&, const Address&) = default;
};

/// "host:port" or "[v6 address]:port". *Errors*: `invalid_argument` that shows the form.
Expected<Address> parse_address(std::string_view text);

/// Which service a process is; `Roles` are sets of them.
enum class ServiceRole : std::uint8_t { gateway = 1, attention = 2, router = 4, expert = 8 };
using Roles = std::uint8_t;
inline constexpr Roles kAllRoles = 15;
constexpr Roles only(ServiceRole role) { return static_cast<Roles>(role); }
constexpr Roles operator|(ServiceRole a, ServiceRole b) {
  return static_cast<Roles>(only(a) | only(b));
}
/// "gateway", "attention", "router", "expert".
std::string_view to_string(ServiceRole role);

/// One validated configuration; nobody changes it once a service runs. Names are those of the keys:
/// `config.expert.rank` is `expert.rank`. Defaults serve one machine.
struct ServiceConfig {
  struct {
    std::string name = "troupe";
    std::vector<Address> routers{{"127.0.0.1", 7400}};
    std::string join_token_file;
    std::chrono::milliseconds lost_after{3000};
    std::chrono::milliseconds beat_busy{100};
    std::chrono::milliseconds beat_idle{500};
  } cluster;
  struct {
    Address listen{"127.0.0.1", 7400};
  } control;
  struct {
    std::string path;  // empty: the bundled model
    std::string served_name;
    std::string chat_template_file;
  } model;
  struct {
    std::string mode = "auto";
    std::string kv_cache = "auto";
    std::string level = "auto";
    std::int64_t threads = 0;
    bool pin_threads = false;
    bool huge_pages = true;
    bool lock_weights = false;
    std::string weights = "mapped";
    std::int64_t chunk_tokens = 512;
    std::int64_t step_rows_max = 512;
    std::chrono::milliseconds prompt_budget{125};
    std::int64_t frame_rows_max = 512;
    std::chrono::microseconds poll{50};
  } engine;
  struct {
    std::int64_t index = 0;
    Address grpc_listen{"127.0.0.1", 50051};
    bool grpc_reflection = true;
    Address http_listen{"127.0.0.1", 8080};
    std::int64_t http_body_mib = 16;
    std::int64_t http_connections_max = 1024;
    std::int64_t http_requests_max = 512;
    std::chrono::milliseconds http_read{30'000};
    std::chrono::milliseconds http_write{30'000};
    std::chrono::milliseconds http_idle{75'000};
    std::chrono::seconds http_request{3600};
    bool strict_api = false;
    std::string api_keys_file;
    bool share_prompts = false;
    std::int64_t requests_max = 1024;
    std::int64_t stream_pending_kib = 1024;
  } gateway;
  struct {
    std::string cert_file;
    std::string key_file;
  } tls;
  struct {
    Address listen{"127.0.0.1", 50052};
  } admin;
  struct {
    std::int64_t index = 0;
    std::int64_t kv_tokens_max = 0;
    std::string prefix_cache = "on";
    std::string micro_batches = "auto";
    std::int64_t waiting_max = 1024;
  } attention;
  struct {
    std::string placement = "separate";
    std::int64_t index = 0;
  } router;
  struct {
    std::int64_t rank = 0;
    std::int64_t ranks = 1;
  } expert;
  struct {
    std::chrono::milliseconds hop{2000};
    std::chrono::milliseconds uncovered{5000};
  } budget;
  struct {
    std::string lanes = "auto";
    std::vector<std::string> ucx_options;
    std::int64_t credit_decode_rows = 512;
    std::int64_t credit_prefill_rows = 4096;
  } transport;
  struct {
    Address listen{"127.0.0.1", 9090};
  } ops;
  struct {
    std::chrono::seconds timeout{300};
  } drain;
  struct {
    std::string format = "auto";
    std::string level = "info";
  } log;
};

}  // namespace troupe::services
