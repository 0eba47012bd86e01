// A scribe over TCP whose stream is watched.
#include "actors/control/basp_connection.hpp"

#include <sys/socket.h>

#include <caf/io/basp_broker.hpp>
#include <caf/io/middleman.hpp>
#include <caf/io/network/default_multiplexer.hpp>
#include <caf/io/network/stream_impl.hpp>
#include <caf/policy/tcp.hpp>
#include <functional>
#include <utility>

namespace troupe::actors {
namespace {

namespace net = caf::io::network;

/// CAF keeps what it offers by port. This one is a name only: nothing listens on it.
constexpr std::uint16_t kOffer = 1;

using OnOversize = std::function<void(const BaspWatch&)>;

/// CAF's policy for TCP, except that a header with too large a payload reads as a broken
/// connection: CAF allocates when it has read a header, and it never reads this one.
class WatchedTcp {
 public:
  explicit WatchedTcp(OnOversize on_oversize) : on_oversize_(std::move(on_oversize)) {}

  net::rw_state read_some(std::size_t& result, net::native_socket fd, void* buffer,
                          std::size_t bytes) {
    const auto state = caf::policy::tcp::read_some(result, fd, buffer, bytes);
    if (state != net::rw_state::success) return state;
    if (watch_.take({static_cast<const std::byte*>(buffer), result})) return state;
    if (on_oversize_) std::exchange(on_oversize_, nullptr)(watch_);
    return net::rw_state::failure;
  }
  net::rw_state write_some(std::size_t& result, net::native_socket fd, const void* buffer,
                           std::size_t bytes) {
    return caf::policy::tcp::write_some(result, fd, buffer, bytes);
  }
  bool must_read_more(net::native_socket, std::size_t) { return false; }

 private:
  BaspWatch watch_;
  OnOversize on_oversize_;
};

/// What caf::io::network::scribe_impl is, with the policy above and the connection's seat.
class WatchedScribe final : public caf::io::scribe {
 public:
  WatchedScribe(net::default_multiplexer& loop, ProvedConnection connection, OnOversize on_oversize)
      : scribe(net::conn_hdl_from_socket(connection.socket.fd())),
        seat_(std::move(connection.seat)),
        address_(std::move(connection.address)),
        stream_(loop, connection.socket.release(), std::move(on_oversize)) {}

  void configure_read(caf::io::receive_policy::config config) override {
    stream_.configure_read(config);
    if (!std::exchange(launched_, true)) stream_.start(this);
  }
  void ack_writes(bool enable) override { stream_.ack_writes(enable); }
  std::vector<char>& wr_buf() override { return stream_.wr_buf(); }
  std::vector<char>& rd_buf() override { return stream_.rd_buf(); }
  void graceful_shutdown() override {
    stream_.graceful_shutdown();
    detach(&stream_.backend(), false);
  }
  void flush() override { stream_.flush(this); }
  std::string addr() const override { return address_; }
  std::uint16_t port() const override { return 0; }
  void add_to_loop() override { stream_.activate(this); }
  void remove_from_loop() override { stream_.passivate(); }
  int fd() const { return stream_.fd(); }

 private:
  std::shared_ptr<Seat> seat_;
  std::string address_;
  bool launched_ = false;
  net::stream_impl<WatchedTcp> stream_;
};

}  // namespace

CafConnector::CafConnector(caf::actor_system& system, EventSink on_event)
    : system_(system),
      on_event_(std::move(on_event)),
      broker_(system.middleman().named_broker<caf::io::basp_broker>(caf::atom("BASP"))) {}

caf::io::scribe_ptr CafConnector::scribe(ProvedConnection connection) const {
  auto& loop = static_cast<net::default_multiplexer&>(system_.middleman().backend());
  OnOversize on_oversize = [sink = on_event_,
                            address = connection.address](const BaspWatch& watch) {
    if (sink)
      sink({NodeEvent::Severity::warning, "control_message_oversized",
            "address=" + address + " bytes=" + std::to_string(watch.announced()) +
                " bytes_max=" + std::to_string(watch.payload_max()) +
                " detail=the connection was closed; run releases that are at most one apart"});
  };
  return caf::make_counted<WatchedScribe>(loop, std::move(connection), std::move(on_oversize));
}

void CafConnector::take_in(ProvedConnection connection, const DirectorActor& director) const {
  caf::anon_send(broker_, caf::publish_atom::value, scribe(std::move(connection)), kOffer,
                 caf::actor_cast<caf::strong_actor_ptr>(director), system_.message_types(director));
}

void CafConnector::withdraw(const DirectorActor& director) const {
  caf::anon_send(broker_, caf::unpublish_atom::value, director.address(), kOffer);
}

void hang_up(const caf::io::scribe_ptr& connection) {
  // The scribe keeps its descriptor from being another connection's. CAF sees the end and cleans
  // up.
  if (connection) ::shutdown(static_cast<const WatchedScribe&>(*connection).fd(), SHUT_RDWR);
}

}  // namespace troupe::actors
