// How many rows may be under way to one peer: granted at hello, returned by replies (design 4).
#pragma once
#include <cstdint>

#include "core/expected.hpp"
#include "proto/frames/header.hpp"

namespace troupe::transport {

using proto::Lane;

/// Rows the receiver has reply slots for. `decode_rows` are kept for decode; `prefill_rows` may be
/// used by both lanes.
struct CreditGrant {
  std::uint32_t decode_rows = 0;
  std::uint32_t prefill_rows = 0;

  /// The largest piece of work that can ever be covered in that lane.
  std::uint32_t rows_max(Lane lane) const {
    return prefill_rows + (lane == Lane::decode ? decode_rows : 0);
  }
};

/// The sender's side of one (sender, receiver) pair. Decode may use everything; prefill never more
/// than `prefill_rows`, so the decode share stays free for decode. A pure value: no waiting.
/// *Units*: rows. *Threading*: one owner.
class CreditAccount {
 public:
  CreditAccount() = default;
  explicit CreditAccount(CreditGrant grant) : grant_(grant) {}

  /// Reserves a reply slot for each row, or changes nothing and returns false.
  [[nodiscard]] bool reserve(std::uint32_t rows, Lane lane);
  /// What `reserve` would return.
  bool available(std::uint32_t rows, Lane lane) const;
  /// False when the grant could not cover `rows` even if nothing were under way: such work must be
  /// split or refused, it would wait for ever.
  bool fits_grant(std::uint32_t rows, Lane lane) const;
  /// Returns slots of answered (or abandoned) rows.
  /// *Errors*: `internal` when more is returned than is out in that lane; nothing is changed.
  Expected<void> release(std::uint32_t rows, Lane lane);
  /// The peer is gone or new: nothing is under way any more.
  void reset(CreditGrant grant);

  CreditGrant grant() const { return grant_; }
  std::uint32_t used(Lane lane) const { return used_[static_cast<int>(lane)]; }
  std::uint32_t used_total() const { return used_[0] + used_[1]; }

 private:
  CreditGrant grant_;
  std::uint32_t used_[proto::kLanes] = {0, 0};
};

}  // namespace troupe::transport
