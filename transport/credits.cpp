// The arithmetic of CreditAccount.
#include "transport/credits.hpp"

#include <string>

namespace troupe::transport {

bool CreditAccount::fits_grant(std::uint32_t rows, Lane lane) const {
  return rows <= grant_.rows_max(lane);
}

bool CreditAccount::available(std::uint32_t rows, Lane lane) const {
  const std::uint64_t all = std::uint64_t{grant_.decode_rows} + grant_.prefill_rows;
  if (std::uint64_t{used_total()} + rows > all) return false;
  return lane == Lane::decode || std::uint64_t{used(Lane::prefill)} + rows <= grant_.prefill_rows;
}

bool CreditAccount::reserve(std::uint32_t rows, Lane lane) {
  if (!available(rows, lane)) return false;
  used_[static_cast<int>(lane)] += rows;
  return true;
}

Expected<void> CreditAccount::release(std::uint32_t rows, Lane lane) {
  std::uint32_t& out = used_[static_cast<int>(lane)];
  if (rows > out) {
    return unexpected(Errc::internal, "a peer returned " + std::to_string(rows) +
                                          " credits while " + std::to_string(out) +
                                          " were out; it answers something twice");
  }
  out -= rows;
  return {};
}

void CreditAccount::reset(CreditGrant grant) { *this = CreditAccount(grant); }

}  // namespace troupe::transport
