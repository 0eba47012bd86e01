// Whether a peer that says hello may join, and under which version, identity and credits.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

#include "core/expected.hpp"
#include "proto/frames/bodies.hpp"
#include "proto/frames/codec.hpp"
#include "proto/identity.hpp"
#include "transport/credits.hpp"

namespace troupe::transport {

/// What this process says of itself.
struct Credentials {
  proto::Role role = proto::Role::gateway;
  std::uint32_t index = 0;
  proto::PeerIdentity identity;  // cluster, numerics id, own incarnation
  proto::VersionRange versions;
  std::array<std::byte, proto::kJoinTokenBytes> join_token{};
};

/// A peer that was let in.
struct Greeting {
  proto::Role role = proto::Role::gateway;
  std::uint32_t index = 0;
  proto::PeerIdentity peer;   // hold later frames against it with proto::sent_by
  std::uint16_t version = 0;  // to be spoken from now on
  CreditGrant grant;          // what we may have under way toward the peer
};

/// The hello (or, as HelloAck{make_hello(...)}, its answer) that grants `to_peer` to the peer.
proto::Hello make_hello(const Credentials& own, CreditGrant to_peer);
/// The header hello and its answer travel under, in the oldest version that `own` speaks.
proto::FrameHeader hello_header(const Credentials& own);

/// *Errors*: `unavailable` for a wrong join token (compared in constant time; nothing else is
/// looked at then) or another cluster; `unsupported` when the versions do not meet, both named, or
/// the numerics ids differ, both named.
Expected<Greeting> check_hello(const Credentials& own, const proto::FrameHeader& header,
                               const proto::Hello& hello);

}  // namespace troupe::transport
