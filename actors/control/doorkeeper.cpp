// poll, accept, read, answer, hand on.
#include "actors/control/doorkeeper.hpp"

#include <netdb.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <vector>

#include "core/check.hpp"

namespace troupe::actors {
namespace {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;

constexpr int kAcceptedAtOnce = 16;  // then those inside have their turn
constexpr std::chrono::seconds kShortOfDescriptors{1};

Expected<Socket> listen_at(const addrinfo& place) {
  Socket socket(::socket(place.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int yes = 1;
  const bool done = socket &&
                    ::setsockopt(socket.fd(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 &&
                    ::bind(socket.fd(), place.ai_addr, place.ai_addrlen) == 0 &&
                    ::listen(socket.fd(), SOMAXCONN) == 0;
  if (!done) return unexpected(Errc::unavailable, std::strerror(errno));
  return socket;
}

Expected<Socket> listen_on(const Endpoint& endpoint) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const char* host = endpoint.host.empty() ? nullptr : endpoint.host.c_str();
  const int failed = ::getaddrinfo(host, std::to_string(endpoint.port).c_str(), &hints, &found);
  if (failed != 0) return unexpected(Errc::unavailable, ::gai_strerror(failed));
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> places(found, &::freeaddrinfo);
  Error why{Errc::unavailable, "no address"};
  for (const auto* place = found; place != nullptr; place = place->ai_next) {
    auto socket = listen_at(*place);
    if (socket) return socket;
    why = socket.error();
  }
  return unexpected(why);
}

Endpoint endpoint_of(const sockaddr_storage& name, socklen_t bytes) {
  char host[NI_MAXHOST] = {};
  char port[NI_MAXSERV] = {};
  if (::getnameinfo(reinterpret_cast<const sockaddr*>(&name), bytes, host, sizeof host, port,
                    sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    return {"?", 0};
  std::string text(host);
  constexpr std::string_view kMapped = "::ffff:";  // an IPv4 peer of a socket for both
  if (text.starts_with(kMapped) && text.find('.') != text.npos) text.erase(0, kMapped.size());
  return {std::move(text), static_cast<std::uint16_t>(std::strtoul(port, nullptr, 10))};
}

std::uint16_t port_of(const Socket& socket) {
  sockaddr_storage name{};
  socklen_t bytes = sizeof name;
  if (::getsockname(socket.fd(), reinterpret_cast<sockaddr*>(&name), &bytes) != 0) return 0;
  return endpoint_of(name, bytes).port;
}

struct Visitor {
  Socket socket;
  Endpoint peer;
  DoorVisit visit;
};

class WatchedDoor final : public Doorkeeper {
 public:
  WatchedDoor(DoorSettings settings, DoorHooks hooks, Socket listener, Socket wake)
      : settings_(std::move(settings)),
        hooks_(std::move(hooks)),
        listener_(std::move(listener)),
        wake_(std::move(wake)),
        port_(port_of(listener_)),
        places_(settings_.limits),
        thread_([this] { run(); }) {}

  ~WatchedDoor() override {
    const std::uint64_t one = 1;
    const auto written = ::write(wake_.fd(), &one, sizeof one);
    TROUPE_CHECK(written == sizeof one, "an eventfd takes one number");
    thread_.join();
  }

  std::uint16_t port() const override { return port_; }

 private:
  void run();
  std::vector<pollfd> watched(TimePoint now) const;
  int timeout(TimePoint now) const;
  void serve(int place, TimePoint now);
  void accept_some(TimePoint now);
  /// False: nobody else fits in yet.
  bool make_place(TimePoint now);
  void admit(Socket socket, const Endpoint& peer, TimePoint now);
  void finish(std::map<int, Visitor>::iterator at, const Turned& why, TimePoint now);
  void leave(std::map<int, Visitor>::iterator at);
  void tell(const Visitor& visitor, const Turned& why, TimePoint now);
  void short_of(const char* what, TimePoint now);

  const DoorSettings settings_;
  const DoorHooks hooks_;
  const Socket listener_;
  const Socket wake_;
  const std::uint16_t port_;
  DoorPlaces places_;
  DoorLog log_;
  std::map<int, Visitor> visitors_;  // by descriptor
  std::shared_ptr<std::atomic<std::size_t>> inside_ = std::make_shared<std::atomic<std::size_t>>(0);
  TimePoint closed_until_ = TimePoint::min();  // the listener rests
  std::thread thread_;                         // last: everything else is there when it begins
};

std::vector<pollfd> WatchedDoor::watched(TimePoint now) const {
  std::vector<pollfd> all{{wake_.fd(), POLLIN, 0}};
  for (const auto& [fd, visitor] : visitors_) all.push_back({fd, POLLIN, 0});
  if (closed_until_ <= now) all.push_back({listener_.fd(), POLLIN, 0});
  return all;
}

/// Milliseconds, rounded up; -1: until somebody comes.
int WatchedDoor::timeout(TimePoint now) const {
  auto due = places_.next_expiry();
  if (closed_until_ > now) due = std::min(due, closed_until_);
  if (due == TimePoint::max()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(due - now);
  return static_cast<int>(std::max<std::int64_t>(0, left.count()));
}

void WatchedDoor::run() {
  while (true) {
    auto now = Clock::now();
    auto all = watched(now);
    const int ready = ::poll(all.data(), all.size(), timeout(now));
    TROUPE_CHECK(ready >= 0 || errno == EINTR, "poll of the control port");
    now = Clock::now();
    for (const auto& one : all) {
      if (ready <= 0 || one.revents == 0) continue;
      if (one.fd == wake_.fd()) return;
      if (one.fd == listener_.fd())
        accept_some(now);
      else
        serve(one.fd, now);
    }
    while (const auto late = places_.expired(now)) {
      const auto at = visitors_.find(*late);
      finish(at, {"silent", at->second.visit.heard() + "; is it a service of Troupe?"}, now);
    }
  }
}

void WatchedDoor::serve(int place, TimePoint now) {
  const auto at = visitors_.find(place);
  if (at == visitors_.end()) return;  // had to leave for another in this turn
  auto& [socket, peer, visit] = at->second;
  std::array<std::byte, proto::kGreetingBytes> bytes;
  const auto got = ::recv(place, bytes.data(), std::min(bytes.size(), visit.wanted()), 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) return leave(at);  // a probe of the port, or one that has given up: no news
  const auto step = visit.take(std::span(bytes).first(static_cast<std::size_t>(got)),
                               *inside_ < settings_.limits.inside_max);
  // A fresh connection has room for these few bytes; one that has not is given up.
  if (!step.reply.empty() &&
      ::send(place, step.reply.data(), step.reply.size(), MSG_NOSIGNAL | MSG_DONTWAIT) !=
          static_cast<ssize_t>(step.reply.size()))
    return leave(at);
  if (step.turned) return finish(at, *step.turned, now);
  if (!step.proved) return;
  ProvedConnection proved{std::move(socket), to_string(peer), std::make_shared<Seat>(inside_)};
  leave(at);
  if (bound_silence(proved.socket)) hooks_.on_proved(std::move(proved));
}

void WatchedDoor::accept_some(TimePoint now) {
  for (int i = 0; i < kAcceptedAtOnce; ++i) {
    // Whoever has to leave, leaves for somebody who is there: the listener was ready for one.
    if (places_.full() && (i > 0 || !make_place(now))) return;
    sockaddr_storage name{};
    socklen_t bytes = sizeof name;
    Socket socket(::accept4(listener_.fd(), reinterpret_cast<sockaddr*>(&name), &bytes,
                            SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (socket) {
      admit(std::move(socket), endpoint_of(name, bytes), now);
      continue;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
      short_of(std::strerror(errno), now);
    return;  // nobody waits any more, or the one that did has left
  }
}

bool WatchedDoor::make_place(TimePoint now) {
  const auto victim = places_.victim(now);
  if (!victim) {
    closed_until_ = places_.victim_due();
    return false;
  }
  const auto at = visitors_.find(*victim);
  finish(at, {"crowded", at->second.visit.heard() + "; too many others wait to prove themselves"},
         now);
  return true;
}

void WatchedDoor::admit(Socket socket, const Endpoint& peer, TimePoint now) {
  const int place = socket.fd();
  places_.add(place, peer.host, now);
  visitors_.emplace(place,
                    Visitor{std::move(socket), peer, DoorVisit(settings_.own, fresh_nonce())});
}

void WatchedDoor::finish(std::map<int, Visitor>::iterator at, const Turned& why, TimePoint now) {
  tell(at->second, why, now);
  leave(at);
}

void WatchedDoor::leave(std::map<int, Visitor>::iterator at) {
  places_.remove(at->first);
  visitors_.erase(at);
  closed_until_ = TimePoint::min();
}

void WatchedDoor::tell(const Visitor& visitor, const Turned& why, TimePoint now) {
  if (!hooks_.on_event) return;
  const auto left_out = log_.admit(visitor.peer.host, now);
  if (!left_out) return;
  const bool member = !visitor.visit.who().empty();
  std::string detail = "reason=" + why.reason + (member ? "" : " port=control") +
                       " address=" + to_string(visitor.peer);
  if (*left_out > 0) detail += " refusals_not_told=" + std::to_string(*left_out);
  if (member) detail += " pid=" + std::to_string(visitor.visit.pid());
  hooks_.on_event({NodeEvent::Severity::warning, member ? "member_refused" : "stranger_refused",
                   detail + " detail=" + why.detail});
}

void WatchedDoor::short_of(const char* what, TimePoint now) {
  closed_until_ = now + kShortOfDescriptors;
  if (!hooks_.on_event || !log_.admit("", now)) return;
  hooks_.on_event({NodeEvent::Severity::error, "control_port_busy",
                   "cause=" + std::string(what) + "; raise the limit on open files (ulimit -n)"});
}

}  // namespace

Expected<std::unique_ptr<Doorkeeper>> Doorkeeper::open(DoorSettings settings, DoorHooks hooks) {
  auto listener = listen_on(settings.listen);
  if (!listener) return unexpected(listener.error());
  Socket wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake) return unexpected(Errc::resource_exhausted, std::strerror(errno));
  return std::unique_ptr<Doorkeeper>(std::make_unique<WatchedDoor>(
      std::move(settings), std::move(hooks), std::move(*listener), std::move(wake)));
}

}  // namespace troupe::actors
