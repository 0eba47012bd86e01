// poll, accept, peek, hand on.
#include "services/gateway/grpc/acceptor.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <thread>

#include "core/check.hpp"
#include "core/first_bytes.hpp"
#include "services/gateway/grpc/opening.hpp"

namespace troupe::services {
namespace {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;

constexpr int kAcceptedAtOnce = 16;  // then those who are in have their turn
constexpr std::chrono::milliseconds kShortOfDescriptors{100};

void set_option(int socket, int level, int option, int value) {
  ::setsockopt(socket, level, option, &value, sizeof value);
}

/// Somebody who has not said enough yet.
struct Guest {
  Accepted connection;
  std::string said;  // so far
};

}  // namespace

class Acceptor::Loop {
 public:
  Loop(std::vector<Descriptor> listeners, AcceptorSettings settings, HandOn hand_on)
      : listeners_(std::move(listeners)),
        settings_(std::move(settings)),
        hand_on_(std::move(hand_on)),
        places_(settings_.undecided),
        thread_([this] { run(); }) {}
  ~Loop() {
    ::eventfd_write(wake_.get(), 1);
    thread_.join();
  }

 private:
  using Guests = std::map<int, Guest>;  // by descriptor

  void run();
  std::vector<pollfd> watched(TimePoint now) const;
  int timeout_ms(TimePoint now) const;
  void accept_some(const Descriptor& listener, TimePoint now);
  bool make_place(TimePoint now);
  void look(int fd, bool ended);
  void refuse(Guests::iterator guest);
  void leave(Guests::iterator guest);
  void tell(const Guest& guest, std::string_view reason, const char* what) const;

  const std::vector<Descriptor> listeners_;
  const AcceptorSettings settings_;
  const HandOn hand_on_;
  actors::DoorPlaces places_;
  Guests guests_;
  TimePoint closed_until_ = TimePoint::min();  // the listeners rest
  Descriptor wake_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  std::thread thread_;  // last: everything else is there when it begins
};

std::vector<pollfd> Acceptor::Loop::watched(TimePoint now) const {
  std::vector<pollfd> all{{wake_.get(), POLLIN, 0}};
  for (const auto& listener : listeners_)
    all.push_back({closed_until_ <= now ? listener.get() : -1, POLLIN, 0});
  for (const auto& [fd, guest] : guests_) all.push_back({fd, POLLIN | POLLRDHUP, 0});
  return all;
}

/// Rounded up; -1: until somebody comes.
int Acceptor::Loop::timeout_ms(TimePoint now) const {
  auto due = places_.next_expiry();
  if (closed_until_ > now) due = std::min(due, closed_until_);
  if (due == TimePoint::max()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(due - now);
  return static_cast<int>(std::max<std::int64_t>(0, left.count()));
}

void Acceptor::Loop::run() {
  while (true) {
    auto now = Clock::now();
    auto all = watched(now);
    const int ready = ::poll(all.data(), all.size(), timeout_ms(now));
    TROUPE_CHECK(ready >= 0 || errno == EINTR, "poll of a gRPC port");
    if (all.front().revents != 0) return;
    now = Clock::now();
    for (std::size_t i = 1 + listeners_.size(); i < all.size() && ready > 0; ++i)
      if (all[i].revents != 0) look(all[i].fd, (all[i].revents & ~POLLIN) != 0);
    for (std::size_t i = 0; i < listeners_.size() && ready > 0; ++i)
      if (all[1 + i].revents != 0) accept_some(listeners_[i], now);
    while (const auto late = places_.expired(now)) {
      const auto guest = guests_.find(*late);
      tell(guest->second, "silent", " and then nothing");
      leave(guest);
    }
  }
}

void Acceptor::Loop::accept_some(const Descriptor& listener, TimePoint now) {
  for (int i = 0; i < kAcceptedAtOnce; ++i) {
    // Whoever has to leave, leaves for somebody who is there: the listener was ready for one.
    if (places_.full() && (i > 0 || !make_place(now))) return;
    auto connection = accept_on(listener);
    const int fd = connection.socket.get();
    if (fd < 0) {
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
        closed_until_ = now + kShortOfDescriptors;
      return;  // nobody waits any more, or the one that did has left
    }
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    places_.add(fd, connection.peer.host, now);
    guests_.emplace(fd, Guest{std::move(connection), {}});
    look(fd, false);  // most have begun already
  }
}

/// False: nobody else fits in yet.
bool Acceptor::Loop::make_place(TimePoint now) {
  const auto victim = places_.victim(now);
  if (!victim) {
    closed_until_ = places_.victim_due();
    return false;
  }
  const auto guest = guests_.find(*victim);
  tell(guest->second, "crowded", ", too little, and others needed its place");
  leave(guest);
  return true;
}

/// `ended`: no more will come.
void Acceptor::Loop::look(int fd, bool ended) {
  const auto at = guests_.find(fd);
  Guest& guest = at->second;
  std::array<char, 64> bytes{};
  const std::size_t wanted = opening_bytes(settings_.tls);
  const auto got = ::recv(fd, bytes.data(), wanted, MSG_PEEK | MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR) && !ended) return;
  if (got > 0) guest.said.assign(bytes.data(), static_cast<std::size_t>(got));
  const auto opening = opening_of(guest.said, settings_.tls);
  if (got > 0 && opening == Opening::foreign) return refuse(at);
  if (got > 0 && opening == Opening::proper) {
    set_option(fd, SOL_SOCKET, SO_RCVLOWAT, 1);
    Descriptor socket = std::move(guest.connection.socket);
    leave(at);
    return hand_on_(std::move(socket));
  }
  if (got <= 0 || ended) {  // a probe of the port, or one that has given up
    tell(guest, "ended", " and hung up");
    return leave(at);
  }
  set_option(fd, SOL_SOCKET, SO_RCVLOWAT, static_cast<int>(wanted));  // poll(2) sleeps until then
}

void Acceptor::Loop::refuse(Guests::iterator guest) {
  // A fresh connection has room for these few bytes; one that has not goes without them.
  const auto& socket = guest->second.connection.socket;
  const std::string answer = answer_to_foreign(settings_.tls);
  (void)::send(socket.get(), answer.data(), answer.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  tell(guest->second, "foreign", "");
  say_goodbye(socket);
  leave(guest);
}

void Acceptor::Loop::leave(Guests::iterator guest) {
  places_.remove(guest->first);
  guests_.erase(guest);
  closed_until_ = TimePoint::min();
}

/// Whoever has said nothing is no news.
void Acceptor::Loop::tell(const Guest& guest, std::string_view reason, const char* what) const {
  if (guest.said.empty() || !settings_.on_stranger) return;
  settings_.on_stranger({settings_.port_name, guest.connection.peer, reason,
                         "it sent " + looks_like(guest.said) + what +
                             (settings_.tls ? "; this port speaks gRPC over TLS only"
                                            : "; this port speaks gRPC without TLS only")});
}

Acceptor::Acceptor(std::vector<Descriptor> listeners, AcceptorSettings settings, HandOn hand_on)
    : loop_(std::make_unique<Loop>(std::move(listeners), std::move(settings), std::move(hand_on))) {
}

Acceptor::~Acceptor() = default;

}  // namespace troupe::services
