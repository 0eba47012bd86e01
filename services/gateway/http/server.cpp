// cpp-httplib reads requests and writes replies; sockets, threads and bounds are ours.
#include "services/gateway/http/server.hpp"

#include <signal.h>

#include <atomic>
#include <exception>
#include <optional>

#include "core/first_bytes.hpp"
#include "services/gateway/http/listener.hpp"
#include "services/gateway/http/request_head.hpp"
#include "services/gateway/request_planner.hpp"

namespace troupe::services::http {
namespace {

constexpr std::size_t kBodiesAtOnce = 16;  // of the largest size; more of smaller ones

/// Memory that bodies take while they are read and parsed, over all connections.
class BodyBudget {
 public:
  explicit BodyBudget(std::size_t bytes_max) : bytes_max_(bytes_max) {}
  bool take(std::size_t bytes) {
    if (taken_.fetch_add(bytes) + bytes <= bytes_max_) return true;
    taken_ -= bytes;
    return false;
  }
  void give(std::size_t bytes) { taken_ -= bytes; }

 private:
  const std::size_t bytes_max_;
  std::atomic<std::size_t> taken_{0};
};

/// Gives back what it has taken.
class BodyShare {
 public:
  explicit BodyShare(BodyBudget& budget) : budget_(budget) {}
  BodyShare(const BodyShare&) = delete;
  ~BodyShare() { budget_.give(taken_); }
  bool take(std::size_t bytes) {
    if (!budget_.take(bytes)) return false;
    taken_ += bytes;
    return true;
  }

 private:
  BodyBudget& budget_;
  std::size_t taken_ = 0;
};

class LibrarySink final : public BodySink {
 public:
  explicit LibrarySink(httplib::DataSink& sink) : sink_(sink) {}
  bool write(std::string_view bytes) override { return sink_.write(bytes.data(), bytes.size()); }

 private:
  httplib::DataSink& sink_;
};

/// One request on one connection, from its first byte to the last of its reply.
struct Exchange {
  explicit Exchange(ConnectionStream& on) : stream(on) {}

  ConnectionStream& stream;
  BodyFraming framing;
  std::vector<std::string> idempotency_keys;
  bool filled = false;             // the reply is ours; else the library refuses
  bool last = false;               // the connection ends behind it
  bool chunks = true;              // the client knows chunked bodies
  int status = 0;                  // of the reply
  std::optional<ApiError> thrown;  // an exception
  std::optional<HttpCall> call;
};

/// The library calls back with request and response only; each request stays on its thread.
thread_local Exchange* exchange = nullptr;

HttpError overloaded() {
  HttpError error;
  error.status = 503;
  error.type = "service_unavailable";
  error.code = "overloaded";
  error.message = "too many large requests come at once. Ask again later";
  error.retry_after = std::chrono::milliseconds(1000);
  return error;
}

/// The bytes of a reply to whoever has no request that the library would answer.
std::string bare_reply(std::string_view status, const HttpError& error, const std::string& id) {
  const std::string body = error_body(error, id);
  return "HTTP/1.1 " + std::string(status) +
         "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\nX-Request-Id: " + id + "\r\nConnection: close\r\n\r\n" + body;
}

class Answers final : public httplib::Server {
 public:
  Answers(GatewayState& state, const ServerSettings& settings)
      : state_(state),
        api_(state, settings.api),
        tls_(!settings.cert_file.empty()),
        body_bytes_max_(settings.body_bytes_max),
        bodies_(settings.body_bytes_max * kBodiesAtOnce) {
    set_keep_alive_timeout(settings.idle_time_max.count() / 1000);
    set_keep_alive_max_count(1'000'000);
    set_exception_handler(
        [](const httplib::Request&, httplib::Response& response, std::exception_ptr thrown) {
          exchange->thrown = from_exception(thrown);
          response.status = to_http(*exchange->thrown).status;
        });
    set_error_handler([this](const httplib::Request& request, httplib::Response& response) {
      refuse(request, response);
    });
    set_expect_100_continue_handler([](const httplib::Request&, httplib::Response& response) {
      if (!exchange->framing.refused) return 100;
      return response.status = exchange->framing.refused->status;
    });
    set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
      return answer_early(request, response) ? HandlerResponse::Handled
                                             : HandlerResponse::Unhandled;
    });
    Post(".*",
         [this](const httplib::Request& request, httplib::Response& response,
                const httplib::ContentReader& content) { answer(request, response, content); });
  }

  /// What a connection hears that nobody has time for: none of its request was read.
  std::string busy_reply() const {
    HttpCall call(state_, "", "");
    call.count_as("unknown");
    call.record().unread = true;
    const HttpError error = to_http(queue_full(0, std::chrono::milliseconds(1000)));
    (void)call.fail(error);
    const std::string head = "429 Too Many Requests\r\nRetry-After: 1\r\ntraceparent: ";
    return bare_reply(head + call.traceparent(), error, call.request_id());
  }

  /// The library streams a reply only while it thinks that it listens.
  void pretend_to_listen(int socket) { svr_sock_ = socket; }

  /// True: the connection may go on.
  bool serve(ConnectionStream& stream) {
    Exchange current{stream};
    current.last = state_.draining;
    exchange = &current;
    stream.begin_request();
    bool closed = false;
    const bool sent = process(stream, closed, current);
    exchange = nullptr;
    if (current.call) {
      if (!sent && current.call->record().code.empty()) {
        const ApiError gone = from_engine({Errc::cancelled, ""});
        current.call->note(to_http(current.thrown.value_or(gone)));
      }
      current.call->close(current.status);
      current.call.reset();  // it has ended, however long the client takes to read
    } else if (!sent) {
      turn_away(stream);
    }
    const bool again =
        sent && !closed && !current.last && stream.failure() == ConnectionStream::Failure::none;
    if (!again && !stream.silent()) stream.discard_rest();
    return again;
  }

 private:
  bool process(ConnectionStream& stream, bool& closed, Exchange& current) {
    try {
      return process_request(stream, current.last, closed, [this](httplib::Request& request) {
        // A range of an answer, or a compressed one, is nothing that we serve.
        request.ranges.clear();
        request.headers.erase("Accept-Encoding");
        exchange->chunks = request.version == "HTTP/1.1";
        exchange->framing = check_framing(exchange->stream.head(), body_bytes_max_);
        exchange->idempotency_keys = values_of(exchange->stream.head(), kIdempotencyKey);
        exchange->stream.begin_body(exchange->framing.chunked);
      });
    } catch (...) {  // in the midst of a stream, or the library's trouble with a stranger's bytes
      current.thrown = from_exception(std::current_exception());
      return false;
    }
  }

  /// Where not even a request line was read: answers, unless nobody would read it, and tells.
  void turn_away(ConnectionStream& stream) const {
    if (const std::string trouble = stream.wire().trouble(); !trouble.empty())
      return tell(stream, "tls", "its TLS handshake failed: " + trouble);
    if (stream.silent()) return;  // a probe of the port, or a client that needs no more
    const std::string said = "it sent " + looks_like(stream.opening());
    using Failure = ConnectionStream::Failure;
    if (stream.failure() == Failure::closed) return tell(stream, "ended", said + " and hung up");
    if (stream.failure() == Failure::read_time)
      return tell(stream, "silent", said + " and no whole request line in time");
    const HttpError error = refusal(400, "this is no request of HTTP/1.1. See GET /openapi.json");
    const std::string reply = bare_reply("400 Bad Request", error, make_request_id());
    (void)stream.write(reply.data(), reply.size());
    tell(stream, "foreign", said);
  }

  void tell(const ConnectionStream& stream, std::string_view reason, std::string what) const {
    if (!state_.hooks.on_stranger) return;
    what += tls_ ? "; this port speaks HTTP/1.1 over TLS" : "; this port speaks HTTP/1.1, no TLS";
    state_.hooks.on_stranger(
        {"http", stream.peer(), reason, what + ". gRPC has its own: gateway.grpc_listen"});
  }

  HttpCall& call_of(const httplib::Request& request) {
    if (!exchange->call) {
      exchange->call.emplace(state_, request.get_header_value("X-Request-Id"),
                             request.get_header_value("traceparent"));
    }
    return *exchange->call;
  }

  static Request request_of(const httplib::Request& from) {
    Request request;
    request.method = from.method;
    request.path = from.path;
    request.verbose = from.has_param("verbose");
    request.authorization = from.get_header_value("Authorization");
    request.if_none_match = from.get_header_value("If-None-Match");
    request.idempotency_keys = exchange->idempotency_keys;
    request.socket = exchange->stream.socket();
    return request;
  }

  bool answer_early(const httplib::Request& from, httplib::Response& response) {
    HttpCall& call = call_of(from);
    if (exchange->framing.refused) {
      call.count_as("unknown");
      exchange->last = true;
      fill(call.fail(*exchange->framing.refused), response);
      return true;
    }
    auto reply = api_.answer_early(call, request_of(from));
    if (!reply) return false;
    if (exchange->framing.present) exchange->last = true;  // its body was not read
    fill(*std::move(reply), response);
    return true;
  }

  /// Why a body did not come whole.
  HttpError body_error(bool too_large, bool no_memory) const {
    using Failure = ConnectionStream::Failure;
    const Failure failure = exchange->stream.failure();
    if (no_memory) return overloaded();
    if (too_large || failure == Failure::body_bytes)
      return refusal(413, "the body has more than " + std::to_string(body_bytes_max_) +
                              " bytes. Send less at once");
    if (failure == Failure::read_time) return refusal(408);
    return refusal(400, "the body ended before it was whole, or its chunks are malformed");
  }

  void answer(const httplib::Request& from, httplib::Response& response,
              const httplib::ContentReader& content) {
    HttpCall& call = call_of(from);
    Request request = request_of(from);
    auto share = std::make_shared<BodyShare>(bodies_);
    bool too_large = false;
    bool no_memory = !share->take(exchange->framing.bytes);
    const bool announced = exchange->framing.bytes > 0;
    const bool whole = !exchange->framing.present ||
                       (!no_memory && content([&](const char* bytes, std::size_t count) {
                         too_large = request.body.size() + count > body_bytes_max_;
                         no_memory = !announced && !share->take(count);
                         if (!too_large && !no_memory) request.body.append(bytes, count);
                         return !too_large && !no_memory;
                       }));
    if (!whole) {
      exchange->last = true;
      return fill(call.fail(body_error(too_large, no_memory)), response);
    }
    request.body_share = std::move(share);
    fill(api_.answer(call, std::move(request)), response);
  }

  /// The library itself refuses: what it says in a status, we say in a body.
  void refuse(const httplib::Request& from, httplib::Response& response) {
    if (exchange->filled) return;
    using Failure = ConnectionStream::Failure;
    const Failure failure = exchange->stream.failure();
    HttpCall& call = call_of(from);
    const bool known = exchange->thrown && *call.record().api != '\0';
    if (!known) call.count_as("unknown");
    exchange->last = true;
    HttpError error = exchange->framing.refused.value_or(refusal(response.status));
    if (const auto path = path_of_unknown_method(from); path && failure == Failure::none) {
      Request request;
      request.method = from.method;
      request.path = *path;
      error = api_.refuse_method(request);
    } else if (response.status == 400 && from.path.empty() && failure == Failure::none) {
      call.record().stranger = true;  // the library did not understand the first line
      tell(exchange->stream, "foreign", "it sent " + looks_like(exchange->stream.opening()));
    }
    if (failure == Failure::header_bytes) error = refusal(431);
    if (failure == Failure::read_time) error = refusal(408);
    if (exchange->thrown) error = to_http(*exchange->thrown);
    fill(call.fail(error), response);
  }

  void fill(Reply reply, httplib::Response& response) {
    exchange->filled = true;
    response.status = exchange->status = reply.status;
    for (const auto& [name, value] : reply.headers) response.set_header(name, value);
    response.set_header("X-Request-Id", exchange->call->request_id());
    response.set_header("traceparent", exchange->call->traceparent());
    if (state_.draining) exchange->last = true;
    // Without chunks the end of the connection is the end of the body.
    if (reply.stream && !exchange->chunks) exchange->last = true;
    if (exchange->last) response.set_header("Connection", "close");
    if (reply.before_last && !reply.body.empty()) return fill_in_two(std::move(reply), response);
    if (!reply.stream) return response.set_content(reply.body, reply.content_type);
    auto provide = [stream = std::move(reply.stream)](std::size_t, httplib::DataSink& sink) {
      LibrarySink out(sink);
      const bool whole = stream(out);
      if (whole) sink.done();
      return whole;
    };
    if (exchange->chunks)
      return response.set_chunked_content_provider(reply.content_type, std::move(provide));
    response.set_content_provider(reply.content_type, std::move(provide));
  }

  static void fill_in_two(Reply reply, httplib::Response& response) {
    const std::size_t bytes = reply.body.size();
    auto provide = [body = std::move(reply.body), before_last = std::move(reply.before_last)](
                       std::size_t at, std::size_t left, httplib::DataSink& sink) {
      if (left == 1) before_last();
      return sink.write(body.data() + at, left == 1 ? 1 : left - 1);
    };
    response.set_content_provider(bytes, reply.content_type, std::move(provide));
  }

  GatewayState& state_;
  const Api api_;
  const bool tls_;
  const std::size_t body_bytes_max_;
  BodyBudget bodies_;
};

}  // namespace

struct Server::Impl {
  Impl(GatewayState& state, const ServerSettings& settings) : answers(state, settings) {}

  Answers answers;
  Address listen;
  bool tls = false;
  std::unique_ptr<Listener> listener;
};

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() = default;

Expected<std::unique_ptr<Server>> Server::start(GatewayState& state,
                                                const ServerSettings& settings) {
  ListenerSettings listening;
  if (!settings.cert_file.empty() || !settings.key_file.empty()) {
    auto tls = TlsContext::load(settings.cert_file, settings.key_file);
    if (!tls) return unexpected(tls.error());
    listening.tls = *std::move(tls);
    ::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes to sockets whose peer has gone
  }
  auto socket = listen_on(settings.listen);
  if (!socket)
    return unexpected(socket.error().code, "gateway.http_listen: " + socket.error().detail);
  listening.connection.body_bytes_max = settings.body_bytes_max;
  listening.connection.read_time_max = settings.read_time_max;
  listening.connection.write_time_max = settings.write_time_max;
  listening.connections_max = settings.connections_max;
  listening.requests_max = settings.requests_max;
  listening.idle_time_max = settings.idle_time_max;
  auto impl = std::make_unique<Impl>(state, settings);
  listening.busy_reply = [raw = impl.get()] { return raw->answers.busy_reply(); };
  impl->listen = settings.listen;
  impl->tls = listening.tls != nullptr;
  impl->answers.pretend_to_listen(socket->get());
  impl->listener = std::make_unique<Listener>(
      *std::move(socket), std::move(listening),
      [raw = impl.get()](ConnectionStream& stream) { return raw->answers.serve(stream); });
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

std::uint16_t Server::port() const { return impl_->listener->port(); }

std::string Server::url() const {
  return (impl_->tls ? "https://" : "http://") + Address{impl_->listen.host, port()}.text();
}

void Server::drain() { impl_->listener->drain(); }

}  // namespace troupe::services::http
