// recv and send, and what OpenSSL makes of them.
#include "services/gateway/http/wire.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <climits>

namespace troupe::services::http {
namespace {

Wire::Moved outcome(ssize_t moved, short wait_for) {
  if (moved >= 0) return {moved, 0};
  return {-1, errno == EAGAIN || errno == EINTR ? wait_for : short{0}};
}

class TlsWire final : public Wire {
 public:
  TlsWire(Descriptor socket, SSL_CTX* context)
      : Wire(std::move(socket)), tls_(SSL_new(context), SSL_free) {
    if (!tls_) return;
    SSL_set_fd(tls_.get(), this->socket());
    SSL_set_accept_state(tls_.get());
  }

  Moved read(char* to, std::size_t bytes) override {
    if (!tls_) return {-1, 0};
    ERR_clear_error();
    return outcome_of(SSL_read(tls_.get(), to, clamp(bytes)));
  }
  Moved write(const char* from, std::size_t bytes) override {
    if (!tls_) return {-1, 0};
    ERR_clear_error();
    return outcome_of(SSL_write(tls_.get(), from, clamp(bytes)));
  }
  bool holds_bytes() const override { return tls_ && SSL_pending(tls_.get()) > 0; }
  std::string trouble() const override {
    if (!tls_ || SSL_is_init_finished(tls_.get()) != 0) return {};
    if (BIO_number_read(SSL_get_rbio(tls_.get())) == 0) return {};
    return trouble_.empty() ? "it did not go on" : trouble_;
  }
  void end() override {
    if (tls_ && !broken_) SSL_shutdown(tls_.get());
    ERR_clear_error();
    Wire::end();
  }

 private:
  static int clamp(std::size_t bytes) {
    return static_cast<int>(std::min<std::size_t>(bytes, INT_MAX));
  }
  /// SIGPIPE is ignored by the process: OpenSSL writes without MSG_NOSIGNAL.
  Moved outcome_of(int moved) {
    if (moved > 0) return {moved, 0};
    switch (SSL_get_error(tls_.get(), moved)) {
      case SSL_ERROR_WANT_READ: return {-1, POLLIN};
      case SSL_ERROR_WANT_WRITE: return {-1, POLLOUT};
      case SSL_ERROR_ZERO_RETURN: return {0, 0};
      default: break;
    }
    broken_ = true;
    const char* why = ERR_reason_error_string(ERR_peek_error());
    trouble_ = why != nullptr ? why : "the connection broke";
    return {-1, 0};
  }

  std::unique_ptr<SSL, void (*)(SSL*)> tls_;
  bool broken_ = false;
  std::string trouble_;  // OpenSSL's words
};

}  // namespace

Wire::Moved Wire::read(char* to, std::size_t bytes) {
  return outcome(::recv(socket_.get(), to, bytes, 0), POLLIN);
}

Wire::Moved Wire::write(const char* from, std::size_t bytes) {
  return outcome(::send(socket_.get(), from, bytes, MSG_NOSIGNAL), POLLOUT);
}

void Wire::end() { ::shutdown(socket_.get(), SHUT_WR); }

void Wire::hang_up() const { ::shutdown(socket_.get(), SHUT_RDWR); }

std::unique_ptr<Wire> make_wire(Descriptor socket, const TlsContext* tls) {
  if (tls == nullptr) return std::make_unique<Wire>(std::move(socket));
  return std::make_unique<TlsWire>(std::move(socket), static_cast<SSL_CTX*>(tls->native()));
}

}  // namespace troupe::services::http
