// The table of paths, and the way from a body to its endpoint.
#include "services/gateway/http/api.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include "model/tokenizer/utf8.hpp"
#include "services/gateway/http/openapi.hpp"
#include "services/gateway/http/percent_encoding.hpp"
#include "services/gateway/http/text_endpoints.hpp"
#include "services/web/page.hpp"

namespace troupe::services::http {
namespace {

constexpr std::string_view kModelPath = "/v1/models/";
constexpr const char* kReading = "GET, HEAD";  // methods
/// Depth and number of values of a body: what a hostile one can make us build. A value takes about
/// 60 bytes, so this is 60 MiB for the most of token ids.
constexpr model::JsonLimits kBodyLimits{.depth_max = 64};
constexpr std::size_t kValuesMax = std::size_t{1} << 20;
constexpr std::size_t kLargeBody = std::size_t{1} << 20;
constexpr std::size_t kIgnoredBytesMax = 1024;

/// Values of a JSON text at most: each but the first stands behind one of ",:[{".
std::size_t count_values(std::string_view text) {
  std::size_t values = 1;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') {
      quoted = !quoted;
    } else if (quoted) {
      i += c == '\\' ? 1 : 0;
    } else {
      values += c == ',' || c == ':' || c == '[' || c == '{' ? 1 : 0;
    }
  }
  return values;
}

/// Names come from strangers and go into a header.
std::string header_list(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) {
    const std::string one = (out.empty() ? "" : ", ") + percent_encoded(name.substr(0, 100), ",");
    if (out.size() + one.size() > kIgnoredBytesMax) return out + ", ...";
    out += one;
  }
  return out;
}

ApiError unknown_fields(const std::vector<std::string>& names) {
  std::vector<FieldViolation> fields;
  for (const std::string& name : names) {
    fields.push_back({model::utf8_prefix(name, 100), "is not known here. Leave it out"});
  }
  return invalid_fields(std::move(fields));
}

HttpError wrong_method(const Request& request, const char* allow) {
  HttpError error = refusal(400);
  error.status = 405;
  error.code = "method_not_allowed";
  error.allow = allow;
  error.message = request.path + " answers " + error.allow + " only, not " +
                  request.method.substr(0, 16) + ". Use that";
  return error;
}

/// The page needs no key: it asks for one and sends it with its own requests.
Reply page_reply(const PageFile& file, const Request& request) {
  Reply reply;
  reply.content_type = content_type(file);
  reply.headers.emplace_back("ETag", file.etag);
  for (const auto& [name, value] : page_headers()) reply.headers.emplace_back(name, value);
  if (is_current(file, request.if_none_match)) {
    reply.status = 304;
  } else {
    reply.body = file.text;
  }
  return reply;
}

std::int64_t unix_time() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace

struct Api::Route {
  std::string_view path;
  bool post = false;
  const char* api = "";  // in counts and log; empty: neither, and no key is needed
  std::optional<Right> right = std::nullopt;  // that the key must have; none: any key will do
};

const Api::Route* Api::find(const std::string& path) {
  static constexpr std::array kRoutes{
      Route{"/v1/chat/completions", true, "chat", Right::generate},
      Route{"/v1/completions", true, "completions", Right::generate},
      Route{"/tokenize", true, "tokenize", Right::tokenize},
      Route{"/detokenize", true, "detokenize", Right::tokenize},
      Route{"/apply-template", true, "apply_template", Right::tokenize},
      Route{"/v1/models", false, "models"},
      Route{"/props", false, "props"},
      Route{"/cluster/status", false, "cluster", Right::cluster},
      Route{"/version", false, ""},
      Route{"/openapi.json", false, ""},
      Route{"/health", false, ""},
      Route{"/livez", false, ""},
      Route{"/readyz", false, ""},
      Route{"/startupz", false, ""},
  };
  static constexpr Route kModel{kModelPath, false, "models"};
  if (path.starts_with(kModelPath) && path.size() > kModelPath.size()) return &kModel;
  const auto* route = std::find_if(kRoutes.begin(), kRoutes.end(),
                                   [&](const Route& one) { return one.path == path; });
  return route == kRoutes.end() ? nullptr : route;
}

Api::Api(GatewayState& state, ApiSettings settings)
    : state_(state),
      settings_(std::move(settings)),
      started_(unix_time()),
      cluster_(state.model, settings_.cluster) {}

std::optional<Reply> Api::answer_early(HttpCall& call, const Request& request) const {
  const bool get = request.method == "GET" || request.method == "HEAD";
  if (const PageFile* file = find_page_file(request.path)) {
    return get ? page_reply(*file, request) : call.fail(refuse_method(request));
  }
  const Route* route = find(request.path);
  if (route == nullptr) {
    call.count_as("unknown");
    return call.fail(no_such_path(request.path));
  }
  if (*route->api != '\0') call.count_as(route->api);
  if (route->post ? request.method != "POST" : !get) {
    return call.fail(refuse_method(request));
  }
  if (*route->api != '\0') {
    const Right* right = route->right ? &*route->right : nullptr;
    if (auto refused = call.authorize(request.authorization, right)) return call.fail(*refused);
  }
  if (!route->post) return this->get(call, request);
  return std::nullopt;
}

HttpError Api::refuse_method(const Request& request) const {
  if (find_page_file(request.path) != nullptr) return wrong_method(request, kReading);
  const Route* route = find(request.path);
  if (route == nullptr) return no_such_path(request.path);
  return wrong_method(request, route->post ? "POST" : kReading);
}

Reply Api::answer(HttpCall& call, Request request) const {
  if (count_values(request.body) > kValuesMax) {
    return call.fail(invalid_json("it has more than " + std::to_string(kValuesMax) + " values"));
  }
  std::vector<std::string> ignored;
  auto read = read_body(request, ignored);
  request.body = {};  // what was read of it is enough, for as long as the answer takes
  request.body_share.reset();
  if (auto* error = std::get_if<HttpError>(&read)) return call.fail(*error);
  if (settings_.strict && !ignored.empty()) return call.fail(unknown_fields(ignored));
  Reply reply;
  if (auto* text = std::get_if<std::string>(&read)) {
    reply.body = std::move(*text);
  } else {
    auto& completion = std::get<CompletionRequest>(read);
    reply = complete(state_, settings_.generation, call, completion, request);
    ignored = std::move(completion.ignored);
  }
  if (!ignored.empty()) {
    reply.headers.emplace_back("x-troupe-ignored-fields", header_list(ignored));
  }
  return reply;
}

/// Only so many large bodies become trees at a time: that is CPU time and memory.
Api::ReadBody Api::read_body(const Request& request, std::vector<std::string>& ignored) const {
  std::unique_lock<std::mutex> turn;
  if (request.body.size() > kLargeBody) turn = std::unique_lock(large_body_);
  auto json = model::parse_json(request.body, kBodyLimits);
  if (!json) return invalid_json(json.error().detail);
  const auto* body = json->object();
  if (body == nullptr) return invalid_json("it is no object, {...}");
  const auto of_text = [](TextAnswer answer) -> ReadBody {
    if (auto* error = std::get_if<ApiError>(&answer)) return to_http(*error);
    return std::get<std::string>(std::move(answer));
  };
  const ServedModel& model = state_.model;
  if (request.path == "/tokenize") return of_text(tokenize(model, *body, ignored));
  if (request.path == "/detokenize") return of_text(detokenize(model, *body, ignored));
  if (request.path == "/apply-template") return of_text(apply_template(model, *body, ignored));
  auto read = request.path == "/v1/completions" ? read_completion(*body) : read_chat(*body);
  if (auto* error = std::get_if<ApiError>(&read)) return to_http(*error);
  ignored = std::get<CompletionRequest>(read).ignored;
  return std::get<CompletionRequest>(std::move(read));
}

Reply Api::get(HttpCall& call, const Request& request) const {
  const std::string& path = request.path;
  Reply reply;
  if (path == "/livez") {
    return probe(request, settings_.health.live ? settings_.health.live() : HealthChecks{});
  }
  if (path == "/readyz") return probe(request, ready());
  if (path == "/startupz") {
    return probe(request, settings_.health.started ? settings_.health.started() : HealthChecks{});
  }
  if (path == "/health") return health();
  if (path == "/openapi.json") {
    reply.body = openapi_document();
  } else if (path == "/version") {
    reply.body = JsonObject().add("version", settings_.version).text();
  } else if (path == "/props") {
    reply.body = props(state_.model);
  } else if (path == "/cluster/status") {
    call.record().poll = true;
    reply.headers.emplace_back("Cache-Control", "no-store");
    auto text = cluster_.text();
    if (auto* error = std::get_if<ApiError>(&text)) return call.fail(*error);
    reply.body = std::get<std::string>(std::move(text));
  } else if (path == "/v1/models") {
    JsonObject out;
    out.add("object", "list").add("data", JsonValue::Array{describe(state_.model, started_)});
    reply.body = out.text();
  } else {
    std::string name = path.substr(kModelPath.size());
    if (model::first_invalid_utf8(name)) name = percent_encoded(name);  // to be named in JSON
    if (auto refused = state_.model.refuse_name(name)) return call.fail(*refused);
    reply.body = model::to_json(describe(state_.model, started_));
  }
  return reply;
}

HealthChecks Api::ready() const {
  if (settings_.health.ready) return settings_.health.ready();
  const auto engine = state_.engine.readiness();
  return {{"cluster", engine.ready() ? "" : engine.detail},
          {"not_draining", state_.draining ? "this gateway is going away" : ""}};
}

Reply Api::probe(const Request& request, const HealthChecks& checks) const {
  Reply reply;
  reply.status = healthy(checks) ? 200 : 503;
  reply.content_type = "text/plain; charset=utf-8";
  reply.body = request.verbose ? verbose_text(checks) : short_text(checks) + "\n";
  reply.headers.emplace_back("Cache-Control", "no-store");
  return reply;
}

/// As llama-server says it.
Reply Api::health() const {
  Reply reply;
  reply.headers.emplace_back("Cache-Control", "no-store");
  const bool ok = healthy(ready());
  reply.status = ok ? 200 : 503;
  const bool loading = settings_.health.started && !healthy(settings_.health.started());
  JsonObject out;
  out.add("status", ok ? "ok" : loading ? "loading" : "unavailable");
  if (loading && settings_.health.load_progress)
    out.add("progress", settings_.health.load_progress());
  reply.body = out.text();
  return reply;
}

}  // namespace troupe::services::http
