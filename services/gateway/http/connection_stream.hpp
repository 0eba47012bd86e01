// A connection as cpp-httplib reads and writes it: so many bytes, so long, and no longer.
#pragma once
#include <httplib.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "services/gateway/http/chunk_watch.hpp"
#include "services/gateway/http/wire.hpp"

namespace troupe::services::http {

struct ConnectionLimits {
  std::size_t header_bytes_max = std::size_t{32} << 10;  // request line and headers
  std::size_t body_bytes_max = std::size_t{16} << 20;
  std::chrono::milliseconds read_time_max{30'000};   // from the first byte to the whole request
  std::chrono::milliseconds write_time_max{30'000};  // in which a client takes nothing
};

/// The library alone bounds neither the number of headers, nor the time of a whole request, and it
/// skips header lines that end without a carriage return, which others may have read, and is
/// lenient about chunks. Past a bound, at such a line, at a malformed chunk and where no request
/// can begin, reading ends as if the peer had closed; `failure` tells why. *Threading*: one thread
/// at a time.
class ConnectionStream final : public httplib::Stream {
 public:
  enum class Failure {
    none,
    closed,
    foreign,
    header_bytes,
    header_line,
    chunks,
    body_bytes,
    read_time
  };

  ConnectionStream(std::unique_ptr<Wire> wire, Address peer, const ConnectionLimits& limits)
      : wire_(std::move(wire)), peer_(std::move(peer)), limits_(limits) {}

  Wire& wire() { return *wire_; }
  const Address& peer() const { return peer_; }
  /// The clock and the counts of the next request start.
  void begin_request();
  /// The request line and the headers, as far as they have been read and as they came.
  std::string_view head() const { return head_; }
  /// The headers are read; from now on it is the body.
  void begin_body(bool chunked);
  Failure failure() const { return failure_; }
  /// The request's first bytes, as far as they have come: enough to tell what they look like.
  const std::string& opening() const { return opening_; }
  /// Of the request: nothing has come at all.
  bool silent() const { return request_bytes_ == 0 && begin_ == end_; }
  /// Bytes of the next request have been read already.
  bool holds_bytes() const { return begin_ != end_ || wire_->holds_bytes(); }
  /// Reads and drops what the peer still sends, so that it gets to read the reply: a socket that is
  /// closed on unread bytes takes back what was sent.
  void discard_rest();

  bool is_readable() const override { return true; }
  bool is_writable() const override { return !broken_; }
  ssize_t read(char* to, size_t bytes) override;
  ssize_t write(const char* from, size_t bytes) override;
  void get_remote_ip_and_port(std::string&, int&) const override {}
  void get_local_ip_and_port(std::string&, int&) const override {}
  socket_t socket() const override { return wire_->socket(); }

 private:
  using Clock = std::chrono::steady_clock;
  bool wait(short events, Clock::time_point until) const;
  bool fill();
  /// Whether these bytes, which the library is about to see, may be what they are.
  bool look_at(std::string_view bytes);

  std::unique_ptr<Wire> wire_;
  const Address peer_;
  const ConnectionLimits limits_;
  Clock::time_point read_until_{};
  std::size_t request_bytes_ = 0;  // of this part of the request
  std::size_t part_bytes_max_ = 0;
  std::string head_;
  bool in_body_ = false;
  std::optional<ChunkWatch> chunks_;  // of a body in chunks
  bool broken_ = false;
  Failure failure_ = Failure::none;
  std::string opening_;
  std::array<char, 8192> buffer_{};
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace troupe::services::http
