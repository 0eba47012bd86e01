// A Link over UCX Active Messages: one peer, one endpoint and a worker of its own.
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "transport/link.hpp"
#include "transport/ucx/ucx_context.hpp"

namespace troupe::transport {

/// A link that still has to learn its peer's address. Each side makes one, tells the other its
/// `address` over the control plane, and opens it.
///
/// The worker belongs to this link alone: in shared memory all senders of a worker write into one
/// queue, and a sender that is killed between claiming a slot and filling it blocks that queue for
/// everybody (design 3). *Threading*: as Link.
class UcxLink : public Link {
 public:
  /// `context` must outlive the link. *Errors*: those of UCX, converted.
  static Expected<std::unique_ptr<UcxLink>> make(UcxContext& context);

  /// Opaque bytes, for the peer's `open`.
  virtual const std::string& address() const = 0;
  /// Succeeds also when nobody lives at `address` any more: `health` tells later.
  /// *Errors*: `invalid_argument` for bytes that are no address, `unavailable` when no transport
  /// reaches it, `io` when its shared memory may not be opened, `resource_exhausted` when
  /// descriptors run out.
  virtual Expected<void> open(std::string_view address) = 0;
};

}  // namespace troupe::transport
