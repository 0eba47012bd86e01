// One poll loop over all connections, and the thread that collects metrics.
#include "services/runtime/ops/ops_server.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <list>
#include <optional>
#include <thread>
#include <vector>

#include "core/first_bytes.hpp"
#include "services/runtime/ops/fresh_text.hpp"
#include "services/runtime/ops/ops_connection.hpp"
#include "services/runtime/ports/listening_socket.hpp"

namespace troupe::services {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kRequestTime{5};
constexpr std::chrono::seconds kMetricsPatience{2};
constexpr std::chrono::milliseconds kAcceptRetry{100};
constexpr std::size_t kConnectionsMax = 64;

HttpAnswer probe(const HttpRequest& request, const HealthChecks& checks) {
  const bool verbose = request.has_parameter("verbose");
  return {healthy(checks) ? 200 : 503, verbose ? verbose_text(checks) : short_text(checks) + "\n"};
}

HttpAnswer health(const HealthSources& sources) {
  constexpr const char* kJson = "application/json";
  if (healthy(sources.ready())) return {200, "{\"status\":\"ok\"}\n", kJson};
  if (healthy(sources.started())) return {503, "{\"status\":\"unavailable\"}\n", kJson};
  std::array<char, 80> body{};
  std::snprintf(body.data(), body.size(), "{\"status\":\"loading\",\"progress\":%.3f}\n",
                sources.load_progress());
  return {503, body.data(), kJson};
}

HttpAnswer metrics(const std::string& text) {
  if (text.empty()) return {503, "metrics are being collected for the first time; ask again\n"};
  return {200, text, "text/plain; version=0.0.4; charset=utf-8"};
}

/// Answers of everything that is known at once.
HttpAnswer answer_to(const HttpRequest& request, const HealthSources& sources) {
  if (request.path == "/livez") return probe(request, sources.live());
  if (request.path == "/readyz") return probe(request, sources.ready());
  if (request.path == "/startupz") return probe(request, sources.started());
  if (request.path == "/health") return health(sources);
  return {404, "nothing here; /livez /readyz /startupz /health /metrics\n"};
}

}  // namespace

struct OpsServer::Impl {
  Impl(Address listens, Descriptor opened, HealthSources with, StrangerSink strangers)
      : listen(std::move(listens)),
        socket(std::move(opened)),
        sources(std::move(with)),
        on_stranger(std::move(strangers)),
        text([this] { return sources.metrics(); }, [this] { ::eventfd_write(wake.get(), 1); }) {
    listen.port = port_of(socket);
    thread = std::thread([this] { serve(); });
  }
  ~Impl() {
    stopping = true;
    ::eventfd_write(wake.get(), 1);
    thread.join();
  }

  void serve() {
    while (!stopping) {
      const auto fds = wait();
      eventfd_t ignored = 0;
      if (fds[0].revents != 0) ::eventfd_read(wake.get(), &ignored);
      std::size_t i = 2;  // the connections as `wait` listed them
      for (auto& connection : connections) {
        if (fds[i++].revents == 0) continue;
        if (connection.wanted() == POLLOUT)
          connection.write();
        else if (connection.read())
          serve_request(connection);
      }
      const auto now = Clock::now();
      for (auto& connection : connections) finish_metrics(connection, now);
      connections.remove_if([&](const auto& one) { return is_over(one, now); });
      if (fds[1].revents != 0) accept_some(now);
    }
  }

  /// Until something happens or a deadline passes.
  std::vector<pollfd> wait() const {
    const auto now = Clock::now();
    auto next = Clock::time_point::max();
    const bool accepts = now >= accept_from;
    if (!accepts) next = accept_from;
    std::vector<pollfd> fds{{wake.get(), POLLIN, 0}, {accepts ? socket.get() : -1, POLLIN, 0}};
    for (const auto& connection : connections) {
      // Nothing to wait for from a peer whose metrics are being collected.
      const short wanted = connection.wanted();
      fds.push_back({wanted != 0 ? connection.fd() : -1, wanted, 0});
      next = std::min(next, connection.deadline());
      if (connection.collecting) next = std::min(next, connection.collecting->until);
    }
    int timeout_ms = -1;
    if (next != Clock::time_point::max())
      timeout_ms = static_cast<int>(std::max<std::int64_t>(
          0, std::chrono::ceil<std::chrono::milliseconds>(next - now).count()));
    ::poll(fds.data(), fds.size(), timeout_ms);
    return fds;
  }

  void serve_request(OpsConnection& connection) {
    std::optional<HttpRequest> request;
    if (!connection.too_long()) request = parse_request(connection.request());
    if (!request) {
      tell(connection, "foreign",
           connection.too_long() ? ", more than a request may have" : ", no HTTP/1.1 request");
      return connection.answer({400, "this is no HTTP/1.1 request\n"}, true);
    }
    const bool head = request->method == "HEAD";
    if (!head && request->method != "GET")
      return connection.answer({405, "this port answers GET only\n"}, true);
    if (request->path != "/metrics") return connection.answer(answer_to(*request, sources), !head);
    connection.collecting = {text.ask(), Clock::now() + kMetricsPatience, !head};
  }

  bool is_over(const OpsConnection& connection, Clock::time_point now) {
    const bool late = now >= connection.deadline();
    if (!connection.ended() && !late) return false;
    if (connection.unfinished())
      tell(connection, connection.ended() ? "ended" : "silent",
           connection.ended() ? " and hung up" : " and no whole request in 5 s");
    return true;
  }

  void tell(const OpsConnection& connection, std::string_view reason, const char* what) const {
    if (!on_stranger) return;
    on_stranger({"ops", connection.peer(), reason,
                 "it sent " + looks_like(connection.request()) + what +
                     "; this port has probes and metrics over plain HTTP/1.1"});
  }

  void finish_metrics(OpsConnection& connection, Clock::time_point now) {
    const auto& asked = connection.collecting;
    if (!asked || !(text.is_made(asked->number) || now >= asked->until)) return;
    const bool with_body = asked->with_body;
    connection.collecting.reset();
    connection.answer(metrics(text.last()), with_body);
  }

  void accept_some(Clock::time_point now) {
    for (std::size_t i = 0; i < kConnectionsMax; ++i) {
      auto peer = accept_on(socket);
      if (peer.socket.get() < 0) {
        if (errno == ECONNABORTED || errno == EINTR) continue;
        if (errno != EAGAIN) accept_from = now + kAcceptRetry;  // out of descriptors, say
        return;
      }
      // Whoever is honest has its answer within milliseconds: the oldest is not.
      if (connections.size() >= kConnectionsMax) {
        const auto& oldest = connections.front();
        if (oldest.unfinished()) tell(oldest, "crowded", ", and others needed its place");
        connections.pop_front();
      }
      auto& connection = connections.emplace_back(std::move(peer), now + kRequestTime);
      if (connection.read()) serve_request(connection);  // before anybody can crowd it out
      if (is_over(connection, now)) connections.pop_back();
    }
  }

  Address listen;
  Descriptor socket;
  HealthSources sources;
  StrangerSink on_stranger;
  Descriptor wake{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  std::atomic<bool> stopping{false};
  std::list<OpsConnection> connections;  // oldest first
  Clock::time_point accept_from{};       // not before, after a failure
  FreshText text;
  std::thread thread;
};

Expected<std::unique_ptr<OpsServer>> OpsServer::start(const Address& listen, HealthSources sources,
                                                      StrangerSink on_stranger) {
  auto socket = listen_on(listen);
  if (!socket) return unexpected(socket.error());
  return std::unique_ptr<OpsServer>(new OpsServer(std::make_unique<Impl>(
      listen, *std::move(socket), std::move(sources), std::move(on_stranger))));
}

OpsServer::OpsServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
OpsServer::~OpsServer() = default;
Address OpsServer::address() const { return impl_->listen; }

}  // namespace troupe::services
