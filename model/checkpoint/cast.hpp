// Converts an FP8 checkpoint directory to BF16: `troupe model cast --to bf16 IN OUT`.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>

#include "core/expected.hpp"

namespace troupe::model {

struct CastOptions {
  /// Called about once per megabyte written. *Units*: bytes of the output's weight files.
  std::function<void(std::uint64_t done, std::uint64_t total)> progress;
  /// Asked as often; true ends the cast with `cancelled`, and what is finished stays.
  std::function<bool()> stop;
};

struct CastReport {
  std::uint64_t files_written = 0;
  std::uint64_t files_kept = 0;  // finished by an earlier call that was cut off
  std::uint64_t tensors_cast = 0;
  std::uint64_t bytes_total = 0;  // of all weight files of the output
};

/// Writes `out` with every F8_E4M3 weight of `in` as rn_bf16(q * s), q * s rounded to F32 first, as
/// DeepSeek's script does. Other tensors keep their bytes (e_score_correction_bias stays F32), so a
/// BF16 checkpoint gives a copy. The index loses its scales and gets the right total_size,
/// config.json (written last, so that half a cast is no model) loses quantization_config, other
/// files at the top of `in` are copied, folders are not.
///
/// Memory is bounded by a few MB beside the mapped input. Files appear under their names only when
/// they are complete and on the disk; calling again after a crash keeps the weight files whose
/// header and length are right. `out`/.troupe-cast.json says which model is being cast.
/// *Errors*: those of `Checkpoint::open(in)`, its accessors and `check_codes`; `invalid_argument`
/// when `out` is `in`, is a file, or holds anything but this cast; `resource_exhausted` when the
/// disk is (or would be) full; `io`; `cancelled`.
/// *Threading*: blocks on the disk. *Source*: specification 4.5.
Expected<CastReport> cast_to_bf16(const std::filesystem::path& in, const std::filesystem::path& out,
                                  const CastOptions& options = {});

}  // namespace troupe::model
