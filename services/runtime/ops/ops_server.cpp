// A few threads that accept, let cpp-httplib read one request each, and answer it.
#include "services/runtime/ops/ops_server.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <thread>
#include <vector>

#include "services/runtime/ops/bounded_stream.hpp"
#include "services/runtime/ops/listening_socket.hpp"

namespace troupe::services {
namespace {

constexpr std::size_t kRequestBytesMax = 16 << 10;
constexpr std::chrono::seconds kRequestTime{5};
constexpr int kThreads = 4;  // a probe is answered while three peers dawdle
constexpr int kAcceptRetryMs = 100;

/// Requests to answers; the library's own sockets and threads are not used.
class Answers : public httplib::Server {
 public:
  explicit Answers(HealthSources sources) : sources_(std::move(sources)) {
    set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
      answer(request, response);
      return HandlerResponse::Handled;
    });
  }

  void serve(int socket) {
    BoundedStream stream(socket,
                         {kRequestBytesMax, std::chrono::steady_clock::now() + kRequestTime});
    bool closed = false;
    try {
      process_request(stream, true, closed, nullptr);
    } catch (...) {
      return;  // the library's own trouble with what a stranger sent; the connection is closed
    }
  }

 private:
  static void text(httplib::Response& response, int status, const std::string& body,
                   const char* type = "text/plain; charset=utf-8") {
    response.status = status;
    response.set_header("Cache-Control", "no-store");
    response.set_content(body, type);
  }

  static void probe(const httplib::Request& request, httplib::Response& response,
                    const HealthChecks& checks) {
    const bool verbose = request.has_param("verbose");
    text(response, healthy(checks) ? 200 : 503,
         verbose ? verbose_text(checks) : short_text(checks) + "\n");
  }

  void health(httplib::Response& response) const {
    if (healthy(sources_.ready())) return text(response, 200, "{\"status\":\"ok\"}\n", kJson);
    std::array<char, 80> body{};
    if (healthy(sources_.started()))
      std::snprintf(body.data(), body.size(), "{\"status\":\"unavailable\"}\n");
    else
      std::snprintf(body.data(), body.size(), "{\"status\":\"loading\",\"progress\":%.3f}\n",
                    sources_.load_progress());
    text(response, 503, body.data(), kJson);
  }

  void answer(const httplib::Request& request, httplib::Response& response) const {
    if (request.method != "GET" && request.method != "HEAD") {
      response.set_header("Allow", "GET, HEAD");
      return text(response, 405, "this port answers GET only\n");
    }
    const std::string& path = request.path;
    if (path == "/livez") return probe(request, response, sources_.live());
    if (path == "/readyz") return probe(request, response, sources_.ready());
    if (path == "/startupz") return probe(request, response, sources_.started());
    if (path == "/health") return health(response);
    if (path == "/metrics")
      return text(response, 200, sources_.metrics(), "text/plain; version=0.0.4; charset=utf-8");
    text(response, 404, "nothing here; /livez /readyz /startupz /health /metrics\n");
  }

  static constexpr const char* kJson = "application/json";
  HealthSources sources_;
};

}  // namespace

struct OpsServer::Impl {
  Impl(Address listens, Descriptor opened, HealthSources sources)
      : listen(std::move(listens)), socket(std::move(opened)), answers(std::move(sources)) {
    listen.port = port_of(socket);
    for (int i = 0; i < kThreads; ++i) threads.emplace_back([this] { accept_and_serve(); });
  }
  ~Impl() {
    ::eventfd_write(stop.get(), 1);
    for (std::thread& thread : threads) thread.join();
  }

  void accept_and_serve() {
    std::array<pollfd, 2> wanted{{{stop.get(), POLLIN, 0}, {socket.get(), POLLIN, 0}}};
    while (true) {
      ::poll(wanted.data(), wanted.size(), -1);
      if ((wanted[0].revents & POLLIN) != 0) return;
      if (wanted[1].revents == 0) continue;
      const Descriptor peer(
          ::accept4(socket.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (peer.get() >= 0) {
        answers.serve(peer.get());
        ::shutdown(peer.get(), SHUT_WR);
      } else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
        ::poll(wanted.data(), 1, kAcceptRetryMs);  // out of descriptors: not at full speed
      }
    }
  }

  Address listen;
  Descriptor socket;
  Descriptor stop{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  Answers answers;
  std::vector<std::thread> threads;
};

Expected<std::unique_ptr<OpsServer>> OpsServer::start(const Address& listen,
                                                      HealthSources sources) {
  auto socket = listen_on(listen);
  if (!socket) return unexpected(socket.error());
  return std::unique_ptr<OpsServer>(
      new OpsServer(std::make_unique<Impl>(listen, *std::move(socket), std::move(sources))));
}

OpsServer::OpsServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
OpsServer::~OpsServer() = default;
Address OpsServer::address() const { return impl_->listen; }

}  // namespace troupe::services
