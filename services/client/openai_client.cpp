// httplib's client, server-sent events, and errors of the OpenAI form.
#include "services/client/openai_client.hpp"

#include <httplib.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <charconv>
#include <thread>

#include "model/config/json_value.hpp"
#include "services/client/completion_body.hpp"
#include "services/client/event_queue.hpp"

namespace troupe::services {
namespace {

using Clock = std::chrono::steady_clock;
/// Between two pieces of an answer; a prompt may take long before its first.
constexpr std::chrono::minutes kSilenceBound{10};
constexpr std::size_t kEventBytesMax = std::size_t{64} << 20;

httplib::Headers headers_for(const std::string& api_key) {
  httplib::Headers headers;
  if (!api_key.empty()) headers.emplace("Authorization", "Bearer " + api_key);
  return headers;
}

std::string url_of(const ServerAccess& access) {
  return (access.speaks_tls() ? "https://" : "http://") + access.address();
}

std::unique_ptr<httplib::Client> connect_to(const ServerAccess& access) {
  auto client = std::make_unique<httplib::Client>(url_of(access));
  if (!access.tls_ca.empty()) client->set_ca_cert_path(access.tls_ca);
  client->set_connection_timeout(kConnectBound);
  client->set_read_timeout(kSilenceBound);
  client->set_tcp_nodelay(true);
  return client;
}

std::string text_of(const model::JsonValue* value) {
  const std::string* text = value == nullptr ? nullptr : value->string();
  return text == nullptr ? "" : *text;
}

std::int64_t integer_of(const model::JsonValue* value) {
  return value == nullptr ? 0 : value->integer().value_or(0);
}

ApiCode code_of(int status) {
  switch (status) {
    case 400: return ApiCode::invalid_argument;
    case 401: return ApiCode::unauthenticated;
    case 403: return ApiCode::permission_denied;
    case 404: return ApiCode::not_found;
    case 409: return ApiCode::aborted;
    case 413: return ApiCode::resource_exhausted;
    case 429: return ApiCode::resource_exhausted;
    case 503: return ApiCode::unavailable;
    case 504: return ApiCode::deadline_exceeded;
    default: return ApiCode::internal;
  }
}

/// A code as gRPC's reasons are written: "context_length_exceeded" in capitals.
std::string reason_of(std::string code) {
  std::transform(code.begin(), code.end(), code.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return code;
}

/// {"error": {"message", "code"}}, of a body or an event.
ClientFailure failure_of(int status, const std::string& body) {
  ClientFailure failure;
  failure.code = code_of(status);
  failure.message = "the server answered with status " + std::to_string(status);
  const auto json = model::parse_json(body);
  const auto* error = json ? json->find("error") : nullptr;
  if (error == nullptr) return failure;
  failure.reason = reason_of(text_of(error->find("code")));
  if (failure.reason.empty()) failure.reason = reason_of(text_of(error->find("type")));
  for (const char* key : {"prompt_tokens", "context_length"}) {
    if (const std::int64_t number = integer_of(error->find(key)); number > 0)
      failure.metadata[key] = std::to_string(number);
  }
  if (const std::string said = text_of(error->find("message")); !said.empty()) {
    failure.message = said;
  }
  return failure;
}

/// The library's own words are names: "Connection".
std::string words_of(httplib::Error error) {
  switch (error) {
    case httplib::Error::Connection: return "nothing listens there, or there is no such host";
    case httplib::Error::ConnectionTimeout: return "no connection came to be";
    case httplib::Error::Read:
    case httplib::Error::Write: return "the connection ended, or nothing came for too long";
    case httplib::Error::SSLConnection: return "what listens there speaks no TLS that we know";
    case httplib::Error::SSLServerVerification: return "the certificate is not trusted";
    default: return httplib::to_string(error);
  }
}

ClientFailure unreachable(httplib::Error error) {
  ClientFailure failure;
  failure.code = ApiCode::unavailable;
  failure.message = words_of(error);
  failure.untrusted = error == httplib::Error::SSLServerVerification;
  return failure;
}

/// Cuts a body into the data of its events.
class EventReader {
 public:
  /// False: an event is larger than any that a server means.
  template <class Hear>
  bool push(std::string_view bytes, Hear hear) {
    rest_ += bytes;
    std::size_t end = 0;
    while ((end = rest_.find('\n')) != std::string::npos) {
      std::string line = rest_.substr(0, end);
      rest_.erase(0, end + 1);
      if (line.ends_with('\r')) line.pop_back();
      if (!line.starts_with("data:")) continue;  // our servers write one line per event
      hear(line.substr(line.size() > 5 && line[5] == ' ' ? 6 : 5));
    }
    return rest_.size() <= kEventBytesMax;
  }

 private:
  std::string rest_;
};

class OpenAiStream final : public ClientStream {
 public:
  OpenAiStream(const ServerAccess& access, httplib::Request request)
      : url_(url_of(access)), client_(connect_to(access)), request_(std::move(request)) {
    reader_ = std::thread([this] { read(); });
  }
  ~OpenAiStream() override {
    cancel();
    reader_.join();
  }

  std::optional<ClientEvent> next(std::chrono::milliseconds patience) override {
    return events_.take(patience);
  }
  void cancel() override {
    cancelled_ = true;
    client_->stop();
  }

 private:
  void read() {
    request_.response_handler = [this](const httplib::Response& response) {
      status_ = response.status;
      if (status_ == 200) events_.push(start_of(response));
      end_.ignored = response.get_header_value("x-troupe-ignored-fields");
      return !cancelled_;
    };
    request_.content_receiver = [this](const char* data, std::size_t size, auto, auto) {
      const std::string_view bytes(data, size);
      if (status_ != 200) {
        refusal_ += bytes;
        return !cancelled_ && refusal_.size() <= kEventBytesMax;
      }
      return events_in_.push(bytes, [this](const std::string& text) { take(text); }) && !cancelled_;
    };
    const auto result = client_->send(request_);
    if (status_ != 0 && status_ != 200) {
      end_.failure = failure_of(status_, refusal_);
    } else if (!done_ && !end_.failure) {
      end_.failure = unreachable(result.error());
      if (result) end_.failure->message = url_ + " ended the stream before the answer was complete";
    }
    end_.duration_s = seconds();
    events_.push(std::move(end_));
  }

  static ClientStart start_of(const httplib::Response& response) {
    ClientStart start;
    const std::string seed = response.get_header_value("x-troupe-seed");
    std::uint64_t drawn = 0;
    const auto parsed = std::from_chars(seed.data(), seed.data() + seed.size(), drawn);
    if (!seed.empty() && parsed.ec == std::errc{}) start.drawn_seed = drawn;
    return start;
  }

  void take(const std::string& data) {
    if (data == "[DONE]") {
      done_ = true;
      return;
    }
    const auto json = model::parse_json(data);
    if (!json) return;
    if (json->find("error") != nullptr) {
      end_.failure = failure_of(500, data);
      return;
    }
    if (const auto* usage = json->find("usage"); usage != nullptr && usage->object() != nullptr) {
      end_.prompt_tokens = integer_of(usage->find("prompt_tokens"));
      end_.generated_tokens = integer_of(usage->find("completion_tokens"));
    }
    const auto* choices = json->find("choices");
    const auto* list = choices == nullptr ? nullptr : choices->array();
    if (list != nullptr && !list->empty()) push_piece(list->front());
  }

  void push_piece(const model::JsonValue& choice) {
    ClientPiece piece;
    piece.text = text_of(choice.find("text"));
    if (const auto* delta = choice.find("delta")) {
      piece.text = text_of(delta->find("content"));
      piece.reasoning = text_of(delta->find("reasoning_content"));
    }
    if (const auto* ids = choice.find("token_ids"); ids != nullptr && ids->array() != nullptr) {
      for (const auto& id : *ids->array()) {
        piece.ids.push_back(static_cast<std::int32_t>(id.integer().value_or(-1)));
      }
    } else if (!piece.text.empty() || !piece.reasoning.empty()) {
      piece.ids.push_back(-1);
    }
    const auto calls = tool_calls_of(choice);
    if (piece.ids.empty() && calls.empty()) return;
    if (end_.time_to_first_token_s == 0) end_.time_to_first_token_s = seconds();
    if (!calls.empty()) piece.tool_call = calls.front();
    events_.push(std::move(piece));
    for (std::size_t i = 1; i < calls.size(); ++i) events_.push(ClientPiece{{}, "", "", calls[i]});
  }

  static std::vector<ClientToolCall> tool_calls_of(const model::JsonValue& choice) {
    const auto* delta = choice.find("delta");
    const auto* calls = delta == nullptr ? nullptr : delta->find("tool_calls");
    std::vector<ClientToolCall> out;
    if (calls == nullptr || calls->array() == nullptr) return out;
    for (const model::JsonValue& one : *calls->array()) {
      const auto* function = one.find("function");
      if (function == nullptr) continue;
      out.push_back({static_cast<std::int32_t>(integer_of(one.find("index"))),
                     text_of(function->find("name")), text_of(function->find("arguments")),
                     text_of(one.find("id"))});
    }
    return out;
  }

  double seconds() const { return std::chrono::duration<double>(Clock::now() - started_).count(); }

  const std::string url_;
  std::unique_ptr<httplib::Client> client_;
  httplib::Request request_;
  const Clock::time_point started_ = Clock::now();
  std::atomic<bool> cancelled_{false};
  int status_ = 0;
  bool done_ = false;
  std::string refusal_;
  EventReader events_in_;
  ClientEnd end_;
  EventQueue events_;
  std::thread reader_;  // last: it uses all of the above
};

}  // namespace

OpenAiClient::OpenAiClient(ServerAccess access)
    : access_(std::move(access)), url_(url_of(access_)) {}

std::unique_ptr<ClientStream> OpenAiClient::generate(const GenerateCall& call) const {
  return stream(completion_path(call), completion_body(call));
}

HttpAnswer OpenAiClient::post(const std::string& path, const std::string& body) const {
  const auto client = connect_to(access_);
  const auto result = client->Post(path, headers_for(access_.api_key), body, "application/json");
  HttpAnswer answer;
  if (!result) {
    const ClientFailure failure = unreachable(result.error());
    answer.problem = "no answer from " + url_ + ": " + failure.message;
    if (failure.untrusted) answer.problem += std::string(". ") + kTrustHint;
    return answer;
  }
  answer.status = result->status;
  answer.body = result->body;
  answer.request_id = result->get_header_value("X-Request-Id");
  const std::string wait = result->get_header_value("Retry-After");
  std::from_chars(wait.data(), wait.data() + wait.size(), answer.retry_after_s);
  return answer;
}

Answered<ClientModel, ClientFailure> OpenAiClient::describe(const std::string& model) const {
  const auto result = connect_to(access_)->Get("/v1/models", headers_for(access_.api_key));
  if (!result) return unreachable(result.error());
  if (result->status != 200) return failure_of(result->status, result->body);
  const auto json = model::parse_json(result->body);
  const auto* data = json ? json->find("data") : nullptr;
  const auto* list = data == nullptr ? nullptr : data->array();
  std::string served;
  for (std::size_t i = 0; list != nullptr && i < list->size(); ++i) {
    const model::JsonValue& one = (*list)[i];
    const std::string id = text_of(one.find("id"));
    served += (served.empty() ? "" : ", ") + id;
    if (!model.empty() && id != model) continue;
    const auto* capabilities = one.find("capabilities");
    const auto* text = capabilities == nullptr ? nullptr : capabilities->find("text");
    const bool speaks = text == nullptr || text->boolean().value_or(true);
    return ClientModel{id, speaks, integer_of(one.find("vocabulary_size")),
                       integer_of(one.find("max_model_len"))};
  }
  ClientFailure failure;
  failure.code = ApiCode::not_found;
  failure.reason = "MODEL_NOT_FOUND";
  failure.message = "no model " + model + " at " + url_ + "; served: " + served;
  return failure;
}

std::unique_ptr<ClientStream> OpenAiClient::stream(const std::string& path,
                                                   std::string body) const {
  httplib::Request request;
  request.method = "POST";
  request.path = path;
  request.headers = headers_for(access_.api_key);
  request.headers.emplace("Content-Type", "application/json");
  request.body = std::move(body);
  return std::make_unique<OpenAiStream>(access_, std::move(request));
}

std::unique_ptr<GenerateClient> open_client(const ServerAccess& access) {
  if (access.speaks_http()) return std::make_unique<OpenAiClient>(access);
  return std::make_unique<InferenceClient>(access);
}

}  // namespace troupe::services
