// The checks that decide whether a peer may join.
#include "transport/handshake.hpp"

#include <cstdio>
#include <string>
#include <variant>

namespace troupe::transport {
namespace {

std::string hex(std::uint64_t number) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(number));
  return text;
}

/// Looks at every byte whatever it finds, so that timing tells nothing about the token.
bool equal_tokens(const std::array<std::byte, proto::kJoinTokenBytes>& a,
                  const std::array<std::byte, proto::kJoinTokenBytes>& b) {
  unsigned difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference |= std::to_integer<unsigned>(a[i] ^ b[i]);
  }
  return difference == 0;
}

}  // namespace

proto::Hello make_hello(const Credentials& own, CreditGrant to_peer) {
  proto::Hello hello;
  hello.role = own.role;
  hello.index = own.index;
  hello.protocol_min = own.versions.min;
  hello.protocol_max = own.versions.max;
  hello.decode_rows = to_peer.decode_rows;
  hello.prefill_rows = to_peer.prefill_rows;
  hello.join_token = own.join_token;
  return hello;
}

proto::FrameHeader hello_header(const Credentials& own) {
  proto::FrameHeader header;
  header.version = own.versions.min;
  header.kind = static_cast<std::uint16_t>(proto::FrameKind::hello);
  header.cluster_id = own.identity.cluster_id;
  header.numerics_id = own.identity.numerics_id;
  header.sender_incarnation = own.identity.incarnation;
  return header;
}

Expected<Greeting> check_hello(const Credentials& own, const proto::FrameHeader& header,
                               const proto::Hello& hello) {
  const std::string who =
      std::string(proto::to_string(hello.role)) + " " + std::to_string(hello.index);
  if (!equal_tokens(own.join_token, hello.join_token)) {
    return unexpected(Errc::unavailable,
                      "a peer presented a wrong join token; give all services the same one");
  }
  if (header.cluster_id != own.identity.cluster_id) {
    return unexpected(Errc::unavailable, who + " belongs to cluster " + hex(header.cluster_id) +
                                             ", this process to " + hex(own.identity.cluster_id));
  }
  const auto version =
      proto::choose_version(own.versions, {hello.protocol_min, hello.protocol_max});
  if (const auto* fault = std::get_if<proto::Malformed>(&version)) {
    return unexpected(Errc::unsupported, who + ": " + fault->text);
  }
  if (header.numerics_id != own.identity.numerics_id) {
    return unexpected(Errc::unsupported,
                      who + " has numerics id " + hex(header.numerics_id) + ", this process " +
                          hex(own.identity.numerics_id) +
                          "; serve the same model revision, mode, KV cache and class of machine");
  }
  Greeting greeting;
  greeting.role = hello.role;
  greeting.index = hello.index;
  greeting.peer = {header.cluster_id, header.numerics_id, header.sender_incarnation};
  greeting.version = std::get<std::uint16_t>(version);
  greeting.grant = {hello.decode_rows, hello.prefill_rows};
  return greeting;
}

}  // namespace troupe::transport
