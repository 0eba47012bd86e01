// Every path of the public HTTP port: who answers it, and what it needs.
#pragma once
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "services/gateway/http/cluster_view.hpp"
#include "services/gateway/http/completion_request.hpp"
#include "services/gateway/http/generation.hpp"
#include "services/gateway/http/http_call.hpp"
#include "services/runtime/ops/health.hpp"

namespace troupe::services::http {

struct ApiSettings {
  GenerationSettings generation;
  bool strict = false;  // unknown members of a body are refused
  std::string version;  // of the program
  /// Probes; members that are not set are answered from the gateway's own state.
  HealthSources health = {};
  ClusterSource cluster = {};  // of GET /cluster/status
};

/// *Threading*: any; calls of `answer` wait for the engine.
class Api {
 public:
  Api(GatewayState& state, ApiSettings settings);

  /// What to answer from the line and the headers alone. Nothing: the body has to be read.
  std::optional<Reply> answer_early(HttpCall& call, const Request& request) const;
  /// 405, or 404 where there is no such path: of a method that the path does not have. Only method
  /// and path of `request` are asked.
  HttpError refuse_method(const Request& request) const;
  /// The reply to a request with its body. Before it, `answer_early` gave nothing.
  Reply answer(HttpCall& call, Request request) const;

 private:
  struct Route;
  static const Route* find(const std::string& path);
  Reply probe(const Request& request, const HealthChecks& checks) const;
  Reply health() const;
  HealthChecks ready() const;
  Reply get(HttpCall& call, const Request& request) const;
  /// A completion still to be answered, the text of a reply, or why there is none.
  using ReadBody = std::variant<CompletionRequest, std::string, HttpError>;
  ReadBody read_body(const Request& request, std::vector<std::string>& ignored) const;

  GatewayState& state_;
  const ApiSettings settings_;
  const std::int64_t started_;     // seconds since 1970
  mutable std::mutex large_body_;  // is being read
  mutable ClusterView cluster_;
};

}  // namespace troupe::services::http
