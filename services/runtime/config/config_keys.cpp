// Declares every configuration key once, and how each type of value is read and shown.
#include "services/runtime/config/config_keys.hpp"

#include <algorithm>
#include <type_traits>

namespace troupe::services {
namespace {

constexpr std::int64_t kIndexMax = 65535;
constexpr std::int64_t kMillisecondsMax = 24 * 3600 * 1000;
constexpr IntegerRange kDuration{1, kMillisecondsMax};
constexpr std::int64_t kCreditRowsMax = 1 << 20;

template <class T>
concept Duration = requires {
  typename T::period;
};

std::string show_value(const std::string& value) { return quoted_yaml(value); }
std::string show_value(std::int64_t value) { return std::to_string(value); }
std::string show_value(bool value) { return value ? "true" : "false"; }
std::string show_value(const Address& value) { return quoted_yaml(value.text()); }
template <Duration T>
std::string show_value(T value) {
  return std::to_string(value.count());
}
template <class T>
std::string show_value(const std::vector<T>& values) {
  std::string out = "[";
  for (const T& value : values) out += (out.size() > 1 ? ", " : "") + show_value(value);
  return out + "]";
}

Expected<std::int64_t> read_integer(std::string_view text, IntegerRange range) {
  std::optional<std::int64_t> value;
  if (auto read = integer(value, range)(text); !read) return unexpected(read.error());
  return *value;
}

/// What the declarations below are made of: `get` names the member of a ServiceConfig.
template <class Get>
ConfigKey key_of(std::string path, Get get) {
  ConfigKey key;
  key.path = std::move(path);
  key.show = [get](const ServiceConfig& config) { return show_value(get(config)); };
  return key;
}

template <class Get>
ConfigKey whole(std::string path, IntegerRange range, Get get) {
  ConfigKey key = key_of(std::move(path), get);
  key.value = "N";
  key.assign = [get, range](ServiceConfig& config, std::string_view text) -> Expected<void> {
    const auto value = read_integer(text, range);
    if (!value) return unexpected(value.error());
    get(config) = std::remove_cvref_t<decltype(get(config))>(*value);
    return {};
  };
  return key;
}

template <class Get>
ConfigKey truth(std::string path, Get get) {
  ConfigKey key = key_of(std::move(path), get);
  key.value = "true|false";
  key.assign = [get](ServiceConfig& config, std::string_view text) {
    return yes_no(get(config))(text);
  };
  return key;
}

template <class Get>
ConfigKey words(std::string path, std::string value, Get get) {
  ConfigKey key = key_of(std::move(path), get);
  key.value = std::move(value);
  key.assign = [get](ServiceConfig& config, std::string_view text) -> Expected<void> {
    get(config) = text;
    return {};
  };
  return key;
}

template <class Get>
ConfigKey one_of(std::string path, std::vector<std::string> choices, Get get) {
  ConfigKey key = key_of(std::move(path), get);
  for (const std::string& known : choices) key.value += (key.value.empty() ? "" : "|") + known;
  key.assign = [get, choices](ServiceConfig& config, std::string_view text) {
    return choice(get(config), choices)(text);
  };
  return key;
}

template <class Get>
ConfigKey address(std::string path, Get get) {
  ConfigKey key = key_of(std::move(path), get);
  key.value = "HOST:PORT";
  key.assign = [get](ServiceConfig& config, std::string_view text) -> Expected<void> {
    auto parsed = parse_address(text);
    if (!parsed) return unexpected(std::move(parsed).error());
    get(config) = *std::move(parsed);
    return {};
  };
  return key;
}

Expected<void> append(std::vector<std::string>& list, std::string_view part) {
  list.emplace_back(part);
  return {};
}
Expected<void> append(std::vector<Address>& list, std::string_view part) {
  auto parsed = parse_address(part);
  if (!parsed) return unexpected(std::move(parsed).error());
  list.push_back(*std::move(parsed));
  return {};
}

/// Replaces the list by the parts between commas.
template <class Get>
ConfigKey list_of(std::string path, std::string value, Get get) {
  ConfigKey key = key_of(std::move(path), get);
  key.value = std::move(value);
  key.is_list = true;
  key.assign = [get](ServiceConfig& config, std::string_view text) -> Expected<void> {
    std::remove_cvref_t<decltype(get(config))> list;
    while (!text.empty()) {
      const auto part = text.substr(0, text.find(','));
      if (auto added = append(list, part); !added) return added;
      text.remove_prefix(std::min(part.size() + 1, text.size()));
    }
    get(config) = std::move(list);
    return {};
  };
  return key;
}

class Table {
 public:
  Table& add(ConfigKey key, Roles roles, Shown shown, std::string help) {
    key.roles = roles;
    key.shown = shown;
    key.help = std::move(help);
    keys_.push_back(std::move(key));
    return *this;
  }
  std::vector<ConfigKey> take() { return std::move(keys_); }

 private:
  std::vector<ConfigKey> keys_;
};

constexpr auto kFirst = Shown::first_screen;
constexpr auto kMore = Shown::help_all;
constexpr Roles kGateway = only(ServiceRole::gateway);
constexpr Roles kAttention = only(ServiceRole::attention);
constexpr Roles kRouter = only(ServiceRole::router);
constexpr Roles kExpert = only(ServiceRole::expert);
constexpr Roles kRouting = kAttention | kRouter;
constexpr Roles kReceiving = kRouting | kExpert;

#define TROUPE_AT(member) \
  [](auto& config) -> auto& { return config.member; }

void add_cluster(Table& table) {
  table.add(words("cluster.name", "NAME", TROUPE_AT(cluster.name)), kAllRoles, kMore,
            "Services of another name are refused");
  table.add(list_of("cluster.routers", "HOST:PORT,...", TROUPE_AT(cluster.routers)), kAllRoles,
            kFirst, "Control ports of all routers, in the order of their indices");
  table.add(words("cluster.join_token_file", "FILE", TROUPE_AT(cluster.join_token_file)), kAllRoles,
            kFirst, "File whose text every service of the cluster must know; empty: none");
  table.add(whole("cluster.lost_after_ms", {100, kMillisecondsMax}, TROUPE_AT(cluster.lost_after)),
            kAllRoles, kMore, "Silence after which a service counts as lost");
  table.add(whole("cluster.beat_busy_ms", kDuration, TROUPE_AT(cluster.beat_busy)), kAllRoles,
            kMore, "Time between signs of life while work is open");
  table.add(whole("cluster.beat_idle_ms", kDuration, TROUPE_AT(cluster.beat_idle)), kAllRoles,
            kMore, "Time between signs of life when idle");
  table.add(address("control.listen", TROUPE_AT(control.listen)), kRouting, kFirst,
            "Where a router's control port listens");
}

void add_engine(Table& table) {
  table.add(words("model.path", "DIR", TROUPE_AT(model.path)), kAllRoles, kFirst,
            "Hugging Face checkpoint directory; empty: the bundled troupe-tiny");
  table.add(words("model.served_name", "NAME", TROUPE_AT(model.served_name)), kAllRoles, kMore,
            "Name in requests and metrics; empty: the directory's");
  table.add(words("model.chat_template_file", "FILE", TROUPE_AT(model.chat_template_file)),
            kGateway, kMore, "Jinja template instead of the model's own; empty: its own");
  table.add(one_of("engine.mode", {"auto", "bf16", "f32", "fp8-act", "int8-act", "bf16-tiles"},
                   TROUPE_AT(engine.mode)),
            kAllRoles, kMore,
            "Activations; auto: by the weights' format; the same for all services of a cluster");
  table.add(one_of("engine.kv_cache", {"auto", "fp8"}, TROUPE_AT(engine.kv_cache)), kAllRoles,
            kMore, "Latent cache: as the mode, or FP8; the same for all services of a cluster");
  ConfigKey level = words("engine.level", "LEVEL", TROUPE_AT(engine.level));
  level.short_flag = "--level";
  table.add(std::move(level), kAllRoles, kMore,
            "CPU level: auto, reference, avx2, avx2_vnni, avx512, avx512_vnni, avx512_bf16, "
            "avx512_amx; also --level and TROUPE_LEVEL");
  table.add(whole("engine.threads", {0, 4096}, TROUPE_AT(engine.threads)), kAllRoles, kFirst,
            "Compute threads; 0: the cores of this machine");
  table.add(truth("engine.pin_threads", TROUPE_AT(engine.pin_threads)), kAllRoles, kMore,
            "Keep each compute thread on a core of its own; for services that share no cores");
  table.add(truth("engine.huge_pages", TROUPE_AT(engine.huge_pages)), kAllRoles, kMore,
            "Ask for huge pages for weights, where the file system has them");
  table.add(one_of("engine.weights", {"mapped", "copied"}, TROUPE_AT(engine.weights)), kAllRoles,
            kMore, "Where weights are read: in their mapped files, or in copies in own memory");
  table.add(truth("engine.lock_weights", TROUPE_AT(engine.lock_weights)), kAllRoles, kMore,
            "Lock weights in memory; needs `ulimit -l` as large as they are");
  table.add(whole("engine.chunk_tokens", {1, 1 << 20}, TROUPE_AT(engine.chunk_tokens)), kAttention,
            kMore, "Prompt tokens of one sequence computed per step");
  table.add(whole("engine.step_rows_max", {1, 1 << 20}, TROUPE_AT(engine.step_rows_max)),
            kAttention, kMore, "Rows of a step over all sequences");
  table.add(whole("engine.prompt_ms", {0, 3600000}, TROUPE_AT(engine.prompt_budget)), kAttention,
            kMore, "Time of a step with prompts in which others decode; 0: no limit");
  table.add(whole("engine.frame_rows_max", {1, 512}, TROUPE_AT(engine.frame_rows_max)), kRouting,
            kMore, "Rows of one frame between services");
  table.add(whole("engine.poll_us", {0, 1000000}, TROUPE_AT(engine.poll)), kAllRoles, kMore,
            "How long an idle loop spins before it sleeps");
  table.add(whole("budget.hop_ms", kDuration, TROUPE_AT(budget.hop)), kRouting | kGateway, kMore,
            "Time for the routed experts of one work item");
  table.add(whole("budget.uncovered_ms", kDuration, TROUPE_AT(budget.uncovered)),
            kRouting | kGateway, kMore,
            "How long rows, and new requests, wait for an expert that no live shard holds");
}

void add_roles(Table& table) {
  table.add(whole("gateway.index", {0, kIndexMax}, TROUPE_AT(gateway.index)), kGateway, kFirst,
            "Which gateway of the cluster this is");
  table.add(address("gateway.grpc_listen", TROUPE_AT(gateway.grpc_listen)), kGateway, kFirst,
            "Where clients reach the gRPC service");
  table.add(truth("gateway.grpc_reflection", TROUPE_AT(gateway.grpc_reflection)), kGateway, kMore,
            "Whether clients may ask which gRPC services there are");
  table.add(address("gateway.http_listen", TROUPE_AT(gateway.http_listen)), kGateway, kFirst,
            "Where clients reach the OpenAI-compatible HTTP API");
  table.add(whole("gateway.http_body_mib", {1, 1024}, TROUPE_AT(gateway.http_body_mib)), kGateway,
            kMore, "The largest body of a request; beyond: 413");
  table.add(
      whole("gateway.http_connections_max", {1, 1 << 20}, TROUPE_AT(gateway.http_connections_max)),
      kGateway, kMore, "Open HTTP connections; beyond, idle ones are closed");
  table.add(whole("gateway.http_requests_max", {1, 1 << 16}, TROUPE_AT(gateway.http_requests_max)),
            kGateway, kMore, "HTTP requests and streams at once, a thread each; beyond: 429");
  table.add(whole("gateway.http_read_ms", kDuration, TROUPE_AT(gateway.http_read)), kGateway, kMore,
            "Time for a request to come whole; beyond: 408");
  table.add(whole("gateway.http_write_ms", kDuration, TROUPE_AT(gateway.http_write)), kGateway,
            kMore, "Time in which a client may take nothing of its reply; beyond: closed");
  table.add(whole("gateway.http_idle_ms", kDuration, TROUPE_AT(gateway.http_idle)), kGateway, kMore,
            "Time that a connection may be idle between requests");
  table.add(whole("gateway.http_request_s", {1, 7 * 24 * 3600}, TROUPE_AT(gateway.http_request)),
            kGateway, kMore, "Time for an answer over HTTP; beyond: 504");
  table.add(words("gateway.api_keys_file", "FILE", TROUPE_AT(gateway.api_keys_file)), kGateway,
            kFirst, "Keys that clients of HTTP and gRPC need, by `troupe keys add`; empty: none");
  table.add(truth("gateway.share_prompts", TROUPE_AT(gateway.share_prompts)), kGateway, kMore,
            "Whether requests of different keys share computed prompts; timing tells of them");
  table.add(whole("gateway.requests_max", {1, 1 << 20}, TROUPE_AT(gateway.requests_max)), kGateway,
            kMore, "Requests answered at once, over all APIs; beyond: 429, QUEUE_FULL");
  table.add(truth("gateway.strict_api", TROUPE_AT(gateway.strict_api)), kGateway, kMore,
            "Refuse fields that have no effect, instead of ignoring and listing them");
  table.add(
      whole("gateway.stream_pending_kib", {1, 1 << 20}, TROUPE_AT(gateway.stream_pending_kib)),
      kGateway, kMore, "Of an answer whose client reads too slowly, this much waits");
  table.add(address("admin.listen", TROUPE_AT(admin.listen)), kGateway, kFirst,
            "Where the admin gRPC service listens");
  table.add(whole("attention.index", {0, kIndexMax}, TROUPE_AT(attention.index)), kAttention,
            kFirst, "Which attention shard of the cluster this is");
  table.add(whole("attention.kv_tokens_max", {0, std::int64_t{1} << 40},
                  TROUPE_AT(attention.kv_tokens_max)),
            kAttention, kFirst, "Tokens the KV cache holds; 0: 16 sequences of full length");
  table.add(one_of("attention.prefix_cache", {"on", "off"}, TROUPE_AT(attention.prefix_cache)),
            kAttention, kMore, "Whether prompts that begin alike share what was computed");
  table.add(
      one_of("attention.micro_batches", {"auto", "1", "2"}, TROUPE_AT(attention.micro_batches)),
      kAttention, kMore,
      "Parts of a step that take turns: one computes while the other awaits experts");
  table.add(whole("attention.waiting_max", {1, 1 << 20}, TROUPE_AT(attention.waiting_max)),
            kAttention, kMore, "Requests that may wait on this shard; beyond: overloaded");
  table.add(one_of("router.placement", {"separate", "colocated"}, TROUPE_AT(router.placement)),
            kAttention, kFirst, "Routers as services of their own, or in the attention processes");
  table.add(whole("router.index", {0, kIndexMax}, TROUPE_AT(router.index)), kRouter, kFirst,
            "Which router of cluster.routers this is");
  table.add(whole("expert.rank", {0, kIndexMax}, TROUPE_AT(expert.rank)), kExpert, kFirst,
            "Holds expert e of E where floor(e * ranks / E) is this");
  table.add(whole("expert.ranks", {1, kIndexMax + 1}, TROUPE_AT(expert.ranks)), kReceiving, kFirst,
            "Expert services of the cluster");
}

void add_process(Table& table) {
  table.add(one_of("transport.lanes", {"auto", "shm", "tcp"}, TROUPE_AT(transport.lanes)),
            kAllRoles, kFirst, "What carries rows: the best there is, shared memory, or TCP");
  table.add(list_of("transport.ucx_options", "NAME=VALUE,...", TROUPE_AT(transport.ucx_options)),
            kAllRoles, kMore, "Further settings of UCX, without the prefix UCX_");
  table.add(whole("transport.credit_decode_rows", {0, kCreditRowsMax},
                  TROUPE_AT(transport.credit_decode_rows)),
            kReceiving, kMore, "Rows a sender may have open here that are kept for decode");
  table.add(whole("transport.credit_prefill_rows", {1, kCreditRowsMax},
                  TROUPE_AT(transport.credit_prefill_rows)),
            kReceiving, kMore, "Rows a sender may have open here, of prefill or decode");
  table.add(words("tls.cert_file", "FILE", TROUPE_AT(tls.cert_file)), kGateway, kMore,
            "PEM certificate, its chain behind it, for HTTP and gRPC; empty: no TLS");
  table.add(words("tls.key_file", "FILE", TROUPE_AT(tls.key_file)), kGateway, kMore,
            "PEM key of tls.cert_file");
  table.add(address("ops.listen", TROUPE_AT(ops.listen)), kAllRoles, kFirst,
            "Where probes and metrics are served; plain HTTP, keep it inside");
  table.add(whole("drain.timeout_s", {0, 24 * 3600}, TROUPE_AT(drain.timeout)), kAllRoles, kMore,
            "How long open requests may go on after SIGTERM");
  table.add(one_of("log.format", {"auto", "human", "json"}, TROUPE_AT(log.format)), kAllRoles,
            kMore, "Lines for people or machines; auto: people on a terminal");
  table.add(one_of("log.level", {"debug", "info", "warning", "error"}, TROUPE_AT(log.level)),
            kAllRoles, kFirst, "The least severe lines that are logged");
}

#undef TROUPE_AT

std::vector<ConfigKey> make_keys() {
  Table table;
  add_cluster(table);
  add_engine(table);
  add_roles(table);
  add_process(table);
  return table.take();
}

}  // namespace

std::string ConfigKey::flag() const {
  std::string flag = "--" + path;
  std::replace_if(
      flag.begin(), flag.end(), [](char c) { return c == '.' || c == '_'; }, '-');
  return flag;
}

std::string ConfigKey::environment() const {
  Option option;
  option.name = flag();
  return option.environment();
}

std::span<const ConfigKey> config_keys() {
  static const std::vector<ConfigKey> keys = make_keys();
  return keys;
}

const ConfigKey* find_config_key(std::string_view path) {
  for (const ConfigKey& key : config_keys()) {
    if (key.path == path) return &key;
  }
  return nullptr;
}

std::vector<std::string> config_paths() {
  std::vector<std::string> paths;
  for (const ConfigKey& key : config_keys()) paths.push_back(key.path);
  return paths;
}

std::string roles_text(Roles roles) {
  if (roles == kAllRoles) return "all";
  std::string out;
  for (const auto role :
       {ServiceRole::gateway, ServiceRole::attention, ServiceRole::router, ServiceRole::expert}) {
    if ((roles & only(role)) == 0) continue;
    out += (out.empty() ? "" : ", ") + std::string(to_string(role));
  }
  return out;
}

std::string quoted_yaml(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

}  // namespace troupe::services
