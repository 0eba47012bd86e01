// Bytes of HTTP/2 and TLS, compared one by one as they come.
#include "services/gateway/grpc/opening.hpp"

#include <algorithm>
#include <array>

namespace troupe::services {
namespace {

constexpr int kAny = -1;

/// "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", then a frame: 3 bytes of length, type 4 (SETTINGS), flags,
/// stream 0.
constexpr std::array<int, 33> kPlain{'P',  'R',  'I',  ' ',  '*',  ' ',  'H',  'T', 'T', 'P',  '/',
                                     '2',  '.',  '0',  '\r', '\n', '\r', '\n', 'S', 'M', '\r', '\n',
                                     '\r', '\n', kAny, kAny, kAny, 4,    kAny, 0,   0,   0,    0};
/// Handshake (22), version 3.x, 2 bytes of length, ClientHello (1).
constexpr std::array<int, 6> kTls{22, 3, kAny, kAny, kAny, 1};

template <std::size_t size>
Opening compare(std::string_view bytes, const std::array<int, size>& wanted) {
  const std::size_t count = std::min(bytes.size(), size);
  for (std::size_t i = 0; i < count; ++i)
    if (wanted[i] != kAny && wanted[i] != static_cast<unsigned char>(bytes[i]))
      return Opening::foreign;
  return count == size ? Opening::proper : Opening::incomplete;
}

}  // namespace

Opening opening_of(std::string_view bytes, bool tls) {
  return tls ? compare(bytes, kTls) : compare(bytes, kPlain);
}

std::size_t opening_bytes(bool tls) { return tls ? kTls.size() : kPlain.size(); }

std::string answer_to_foreign(bool tls) {
  const std::string body = std::string("gRPC only here, ") + (tls ? "over" : "without") +
                           " TLS. The HTTP API has a port of its own: gateway.http_listen, "
                           "--http-listen; 8080 unless it is set.\n";
  return "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\nConnection: close\r\n\r\n" + body;
}

}  // namespace troupe::services
