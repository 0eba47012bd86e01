// The bytes of an accepted connection, plain or TLS, without waiting for any.
#pragma once
#include <sys/types.h>

#include <cstddef>
#include <memory>
#include <string>

#include "services/gateway/http/tls_context.hpp"
#include "services/runtime/ports/listening_socket.hpp"

namespace troupe::services::http {

/// *Threading*: one thread at a time; `hang_up` from any.
class Wire {
 public:
  struct Moved {
    ssize_t bytes = 0;   // above 0: moved; 0: the peer has closed; below: see `wait_for`
    short wait_for = 0;  // POLLIN or POLLOUT: try again then; 0 with bytes below 0: broken
  };

  /// `socket` is non-blocking.
  explicit Wire(Descriptor socket) : socket_(std::move(socket)) {}
  Wire(const Wire&) = delete;
  virtual ~Wire() = default;

  int socket() const { return socket_.get(); }
  virtual Moved read(char* to, std::size_t bytes);
  virtual Moved write(const char* from, std::size_t bytes);
  /// Bytes that have been read from the socket but not taken: poll(2) does not see them.
  virtual bool holds_bytes() const { return false; }
  /// Why a TLS handshake that has begun is not done; empty: it is, or not a byte has come.
  virtual std::string trouble() const { return {}; }
  /// Tells the peer that nothing more comes.
  virtual void end();
  /// Wakes whoever waits for this socket.
  void hang_up() const;

 private:
  Descriptor socket_;
};

/// `tls` may be null: plain.
std::unique_ptr<Wire> make_wire(Descriptor socket, const TlsContext* tls);

}  // namespace troupe::services::http
