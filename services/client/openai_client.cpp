// httplib's client, server-sent events, and errors of the OpenAI form.
#include "services/client/openai_client.hpp"

#include <httplib.h>

#include <atomic>
#include <charconv>
#include <thread>

#include "model/config/json_value.hpp"
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

std::unique_ptr<httplib::Client> open_client(const std::string& url) {
  auto client = std::make_unique<httplib::Client>(url);
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
    case 404: return ApiCode::not_found;
    case 413: return ApiCode::resource_exhausted;
    case 429: return ApiCode::resource_exhausted;
    case 503: return ApiCode::unavailable;
    case 504: return ApiCode::deadline_exceeded;
    default: return ApiCode::internal;
  }
}

/// {"error": {"message", "code"}}, of a body or an event.
ClientFailure to_failure(int status, const std::string& body) {
  ClientFailure failure;
  failure.code = code_of(status);
  failure.message = "the server answered with status " + std::to_string(status);
  const auto json = model::parse_json(body);
  const auto* error = json ? json->find("error") : nullptr;
  if (error == nullptr) return failure;
  failure.reason = text_of(error->find("code"));
  if (failure.reason.empty()) failure.reason = text_of(error->find("type"));
  if (const std::string said = text_of(error->find("message")); !said.empty()) {
    failure.message = said;
  }
  return failure;
}

ClientFailure unreachable(httplib::Error error) {
  ClientFailure failure;
  failure.code = ApiCode::unavailable;
  failure.message = httplib::to_string(error);
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
  OpenAiStream(const std::string& url, httplib::Request request)
      : url_(url), client_(open_client(url)), request_(std::move(request)) {
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
      if (status_ == 200) events_.push(ClientStart{});
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
      end_.failure = to_failure(status_, refusal_);
    } else if (!done_ && !end_.failure) {
      end_.failure = unreachable(result.error());
      if (result) end_.failure->message = url_ + " ended the stream before the answer was complete";
    }
    end_.duration_s = seconds();
    events_.push(std::move(end_));
  }

  void take(const std::string& data) {
    if (data == "[DONE]") {
      done_ = true;
      return;
    }
    const auto json = model::parse_json(data);
    if (!json) return;
    if (json->find("error") != nullptr) {
      end_.failure = to_failure(500, data);
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
    if (piece.ids.empty()) return;
    if (end_.time_to_first_token_s == 0) end_.time_to_first_token_s = seconds();
    events_.push(std::move(piece));
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

OpenAiClient::OpenAiClient(std::string url, std::string api_key)
    : url_(std::move(url)), api_key_(std::move(api_key)) {
  if (url_.find("://") == std::string::npos) url_.insert(0, "http://");
  while (url_.ends_with('/')) url_.pop_back();
}

HttpAnswer OpenAiClient::post(const std::string& path, const std::string& body) const {
  const auto client = open_client(url_);
  const auto result = client->Post(path, headers_for(api_key_), body, "application/json");
  HttpAnswer answer;
  if (!result) {
    answer.problem = "no answer from " + url_ + ": " + unreachable(result.error()).message;
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
  const auto result = open_client(url_)->Get("/v1/models", headers_for(api_key_));
  if (!result) return unreachable(result.error());
  if (result->status != 200) return to_failure(result->status, result->body);
  const auto json = model::parse_json(result->body);
  const auto* data = json ? json->find("data") : nullptr;
  const auto* list = data == nullptr ? nullptr : data->array();
  std::string served;
  for (std::size_t i = 0; list != nullptr && i < list->size(); ++i) {
    const model::JsonValue& one = (*list)[i];
    const std::string id = text_of(one.find("id"));
    served += (served.empty() ? "" : ", ") + id;
    if (!model.empty() && id != model) continue;
    return ClientModel{id, true, integer_of(one.find("vocabulary_size")),
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
  request.headers = headers_for(api_key_);
  request.headers.emplace("Content-Type", "application/json");
  request.body = std::move(body);
  return std::make_unique<OpenAiStream>(url_, std::move(request));
}

}  // namespace troupe::services
