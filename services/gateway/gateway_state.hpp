// What all calls of a gateway share: whether it drains, how many are open, who counts them.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "actors/request_engine.hpp"
#include "services/gateway/access.hpp"
#include "services/gateway/admission.hpp"
#include "services/gateway/answer_stream.hpp"
#include "services/gateway/idempotency_keys.hpp"
#include "services/gateway/served_model.hpp"
#include "services/runtime/ports/stranger_log.hpp"

namespace troupe::services {

/// A call that has ended, for metrics and the access log.
struct CallRecord {
  std::string request_id;
  std::string key_name;  // of the API key; empty: none
  std::string trace_id;  // of the client's traceparent, or made; empty over gRPC
  const char* api = "";  // "chat", "grpc_generate", ...
  std::string code;      // "200", or by name over gRPC: "OK", "NOT_FOUND", ...
  std::string reason;    // of the error; empty when it went well
  std::string cause;     // of an error whose text is not for the client; else empty
  // "stop", "length", "tool_calls", "cancelled", "error"; empty: nothing was generated
  const char* finish = "";
  std::map<std::string_view, std::int64_t> finishes;  // choices by the same words
  std::int64_t prompt_tokens = 0;
  std::int64_t generated_tokens = 0;
  std::int64_t cached_tokens = 0;  // of the prompt
  double queue_time_s = 0;
  double time_to_first_token_s = 0;
  Histogram token_gaps{kLatencyBounds};  // seconds from token to token, of every choice
  double duration_s = 0;
  double waited_s = 0;                 // for the client to read
  std::int64_t replay_mismatches = 0;  // must stay 0
  bool stranger = false;               // it was no request at all; `on_stranger` has heard of it
  bool poll = false;                   // one of many of a page: no news while all is well
  bool unread = false;                 // nobody had time to read it: there can be any number
};

struct GatewayHooks {
  /// From any thread; must not block.
  std::function<void(const CallRecord&)> on_call_end;
  /// The file of API keys has changed: `error` says why it was not taken, or is empty.
  std::function<void(const std::string& error)> on_keys;
  /// Somebody at a public port who speaks something else.
  StrangerSink on_stranger;
};

/// Calls being answered, by API. *Threading*: any.
class OpenCalls {
 public:
  using Counts = std::map<std::string_view, std::int64_t>;

  /// `api` is a literal.
  void enter(std::string_view api);
  void leave(std::string_view api);
  std::int64_t total() const;
  /// Of every API that was called.
  Counts counts() const;

 private:
  mutable std::mutex mutex_;
  Counts open_;
};

/// The answers under way, so that all of them can be given up. *Threading*: any.
class OpenAnswers {
 public:
  void add(const std::shared_ptr<AnswerStream>& stream);
  /// From now on an added answer is given up at once.
  void abort_all();

 private:
  std::mutex mutex_;
  std::vector<std::weak_ptr<AnswerStream>> streams_;
  std::size_t sweep_at_ = 64;  // when ended ones are taken out: amortised
  bool aborted_ = false;
};

/// *Threading*: members are atomic, constant or safe.
struct GatewayState {
  struct Rules {
    std::int64_t requests_max = 1024;  // that generate, at once; beyond: QUEUE_FULL
    bool share_prompts = false;        // computed ones, between API keys
  };
  GatewayState(const ServedModel& served, actors::RequestEngine& runs, GatewayHooks with,
               const Rules& rules)
      : model(served),
        engine(runs),
        hooks(std::move(with)),
        share_prompts(rules.share_prompts),
        admission(rules.requests_max) {}

  const ServedModel& model;
  actors::RequestEngine& engine;
  const GatewayHooks hooks;
  const bool share_prompts;
  std::atomic<bool> draining{false};
  std::atomic<std::uint64_t> placement_epoch{0};
  OpenCalls calls_open;
  std::unique_ptr<Access> access;  // none: no keys are asked for
  Admission admission;             // of requests that generate
  IdempotencyKeys idempotency_keys;
  OpenAnswers answers;

  /// Says whose `call` is: the key's, or nobody's where `key_name` is empty.
  void give_owner(GenerateCall& call, const std::string& key_name) const {
    call.tenant = key_name;
    if (!share_prompts) call.cache_owner = key_name;
  }
  /// What a request that generates has until it ends.
  struct Entry {
    IdempotencyKeys::Hold key;
    Admission::Place place;
  };
  /// `key_name`: of the API key. *Errors*: those of `refuse_now`, IdempotencyKeys and Admission.
  Answered<Entry> enter(const std::string& key_name, const GivenIdempotencyKey& given);
  /// Nothing when requests are taken now.
  std::optional<ApiError> refuse_now() const {
    if (draining) return services::draining();
    const auto now = engine.readiness();
    return now.takes_requests() ? std::nullopt : std::optional(not_ready(now));
  }
};

}  // namespace troupe::services
