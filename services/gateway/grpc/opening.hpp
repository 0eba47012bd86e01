// Whether the first bytes of a connection are those of a client of gRPC. No sockets, no gRPC.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace troupe::services {

enum class Opening : std::uint8_t { incomplete, proper, foreign };

/// What every client sends first, of itself and at once: HTTP/2's preface with the head of the
/// SETTINGS frame behind it, or the head of a TLS record with a ClientHello in it.
/// `bytes` begin with the connection's first one. *Source*: RFC 9113, 3.4 and 6.5; RFC 8446, 5.1.
Opening opening_of(std::string_view bytes, bool tls);
/// After how many bytes that is decided in any case.
std::size_t opening_bytes(bool tls);

/// The answer to whoever opens otherwise: HTTP/1.1, which most that come by mistake can read; who
/// speaks TLS to a plain port hears by it that there is none.
std::string answer_to_foreign(bool tls);

}  // namespace troupe::services
