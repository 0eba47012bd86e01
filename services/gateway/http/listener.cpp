// epoll over the port, a wake-up, and the connections that are idle.
#include "services/gateway/http/listener.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

namespace troupe::services::http {
namespace {

constexpr std::chrono::milliseconds kTick{500};           // how late an idle one may be closed
constexpr std::chrono::milliseconds kAcceptPause{100};    // without descriptors: not at full speed
constexpr std::chrono::milliseconds kThreadIdle{10'000};  // then a thread without work ends
/// What the kernel may hold of an answer that its client does not read: with the answer's own bound
/// it limits the memory that a slow reader takes.
constexpr int kSendBufferBytes = 128 << 10;

void watch_socket(int poll, int socket, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.fd = socket;
  ::epoll_ctl(poll, EPOLL_CTL_ADD, socket, &event);
}

void tune(int socket) {
  const int on = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &kSendBufferBytes, sizeof kSendBufferBytes);
}

}  // namespace

Listener::Listener(Descriptor socket, ListenerSettings settings, Serve serve)
    : socket_(std::move(socket)),
      settings_(std::move(settings)),
      serve_(std::move(serve)),
      wakes_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      poll_(::epoll_create1(EPOLL_CLOEXEC)),
      workers_({.threads_max = settings_.requests_max, .idle_time = kThreadIdle}) {
  watch_socket(poll_.get(), socket_.get(), EPOLLIN);
  watch_socket(poll_.get(), wakes_.get(), EPOLLIN);
  watcher_ = std::thread([this] { watch(); });
}

Listener::~Listener() {
  stopping_ = true;
  wake();
  watcher_.join();
  const auto until = Clock::now() + kGrace;
  while (workers_.busy() > 0 && Clock::now() < until) ::poll(nullptr, 0, 5);
  const std::lock_guard lock(mutex_);
  for (ConnectionStream* stream : serving_) stream->wire().hang_up();
}

void Listener::wake() const { ::eventfd_write(wakes_.get(), 1); }

void Listener::drain() {
  draining_ = true;
  wake();
}

void Listener::watch() {
  std::array<epoll_event, 64> events{};
  while (!stopping_) {
    const int ready = ::epoll_wait(poll_.get(), events.data(), static_cast<int>(events.size()),
                                   static_cast<int>(kTick.count()));
    for (int i = 0; i < ready; ++i) {
      const int fd = events[static_cast<std::size_t>(i)].data.fd;
      if (fd == wakes_.get()) {
        eventfd_t ignored = 0;
        ::eventfd_read(fd, &ignored);
      } else if (fd == socket_.get()) {
        accept_all();
      } else if (const auto found = idle_.find(fd); found != idle_.end()) {
        ::epoll_ctl(poll_.get(), EPOLL_CTL_DEL, fd, nullptr);
        auto stream = std::move(found->second.stream);
        idle_.erase(found);
        dispatch(std::move(stream));
      }
    }
    take_back();
    close_idle(draining_, false);
    if (!accepting_ && Clock::now() >= accept_after_) {
      accepting_ = true;
      watch_socket(poll_.get(), socket_.get(), EPOLLIN);
    }
  }
  close_idle(true, true);
}

void Listener::accept_all() {
  while (true) {
    auto peer = accept_on(socket_);
    if (peer.socket.get() >= 0) {
      admit(std::move(peer));
    } else if (errno != EINTR && errno != ECONNABORTED) {
      if (errno == EAGAIN) return;
      ::epoll_ctl(poll_.get(), EPOLL_CTL_DEL, socket_.get(), nullptr);
      accepting_ = false;
      accept_after_ = Clock::now() + kAcceptPause;
      return;
    }
  }
}

void Listener::admit(Accepted peer) {
  if (connections_ >= settings_.connections_max) {
    auto oldest = idle_.begin();
    for (auto one = idle_.begin(); one != idle_.end(); ++one) {
      if (one->second.until < oldest->second.until) oldest = one;
    }
    if (oldest == idle_.end()) {  // all are being served: this one has to come again
      refuse(peer.socket.get());
      return;
    }
    close_one(oldest);
  }
  tune(peer.socket.get());
  ++connections_;
  auto wire = make_wire(std::move(peer.socket), settings_.tls.get());
  auto stream = std::make_shared<ConnectionStream>(std::move(wire), std::move(peer.peer),
                                                   settings_.connection);
  const int fd = stream->socket();
  idle_.emplace(fd, Idle{std::move(stream), Clock::now() + settings_.idle_time_max, true});
  watch_socket(poll_.get(), fd, EPOLLIN | EPOLLRDHUP);
}

void Listener::dispatch(std::shared_ptr<ConnectionStream> stream) {
  {
    const std::lock_guard lock(mutex_);
    serving_.insert(stream.get());
  }
  if (workers_.run([this, stream] { serve(stream); })) return;
  {
    const std::lock_guard lock(mutex_);
    serving_.erase(stream.get());
  }
  refuse(stream->socket());
  --connections_;
}

/// Without waiting. A TLS client would first have to shake hands: it hears nothing.
void Listener::refuse(int socket) const {
  if (settings_.tls) return;
  const std::string reply = settings_.busy_reply();
  (void)::send(socket, reply.data(), reply.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void Listener::serve(const std::shared_ptr<ConnectionStream>& stream) {
  bool again = true;
  while ((again = serve_(*stream)) && stream->holds_bytes()) {
  }
  {
    const std::lock_guard lock(mutex_);
    serving_.erase(stream.get());
  }
  if (again && !draining_ && !stopping_) {
    give_back(stream);
  } else {
    stream->wire().end();
    --connections_;
  }
}

void Listener::give_back(std::shared_ptr<ConnectionStream> stream) {
  {
    const std::lock_guard lock(mutex_);
    back_.push_back(std::move(stream));
  }
  wake();
}

void Listener::take_back() {
  std::vector<std::shared_ptr<ConnectionStream>> back;
  {
    const std::lock_guard lock(mutex_);
    back.swap(back_);
  }
  for (auto& stream : back) {
    const int fd = stream->socket();
    idle_.emplace(fd, Idle{std::move(stream), Clock::now() + settings_.idle_time_max});
    watch_socket(poll_.get(), fd, EPOLLIN | EPOLLRDHUP);
  }
}

void Listener::close_idle(bool served, bool fresh) {
  const auto now = Clock::now();
  for (auto one = idle_.begin(); one != idle_.end();) {
    const auto next = std::next(one);
    const bool all = one->second.fresh ? fresh : served;
    if (all || now >= one->second.until) close_one(one);
    one = next;
  }
}

void Listener::close_one(std::map<int, Idle>::iterator one) {
  one->second.stream->wire().end();
  idle_.erase(one);  // closes it, and epoll forgets it
  --connections_;
}

}  // namespace troupe::services::http
