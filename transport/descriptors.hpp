// File descriptors of this process: how many it may have, how many it has, and what to say when
// they run out.
#pragma once
#include <cstddef>

#include "core/error.hpp"

namespace troupe::transport {

struct DescriptorUse {
  std::size_t open = 0;
  std::size_t limit = 0;  // soft RLIMIT_NOFILE
};
/// Looks into /proc: for failures and for starting up, not for loops.
DescriptorUse descriptor_use();

/// Whether there are fewer left than one more UCX link may take.
bool descriptors_short();

/// Raises the soft limit to the hard one: each UCX link takes about ten. Nothing in this program
/// may use select(2), which breaks past 1023.
void raise_descriptor_limit();

/// `error`, unless descriptors are nearly used up: then `resource_exhausted`, with how many there
/// are and what to raise.
Error with_descriptors(Error error);

}  // namespace troupe::transport
