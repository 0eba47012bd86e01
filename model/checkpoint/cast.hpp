// Converts a checkpoint directory to another weight format: `troupe model cast` and `quantize`.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>

#include "core/expected.hpp"
#include "model/config/quantisation.hpp"

namespace troupe::model {

struct CastOptions {
  /// What linear layers become: plain (BF16), int8_blocks, int8_channel or int4_groups.
  WeightFormat to = WeightFormat::plain;
  Int4Layers int4_layers = Int4Layers::experts;
  /// Called about once per megabyte written. *Units*: bytes of the output's weight files.
  std::function<void(std::uint64_t done, std::uint64_t total)> progress = {};
  /// Asked as often; true ends the cast with `cancelled`, and what is finished stays.
  std::function<bool()> stop = {};
};

struct CastReport {
  std::uint64_t files_written = 0;
  std::uint64_t files_kept = 0;         // finished by an earlier call that was cut off
  std::uint64_t tensors_cast = 0;       // in the files written, to BF16
  std::uint64_t tensors_quantised = 0;  // in the files written, to INT8 or INT4
  std::uint64_t bytes_total = 0;        // of all weight files of the output
};

/// Writes `out`, a Hugging Face checkpoint like `in` in another format.
/// To plain: every quantised weight as rn_bf16(q * s), q * s rounded to F32 first, as DeepSeek's
/// script does; a BF16 checkpoint gives a copy. To INT8: every linear layer that V3's own FP8
/// checkpoint quantises (specification 4.6); to INT4: those of
/// `int4_layers`, while other linear layers that are FP8 become BF16. `quantise_rows.hpp` has the
/// rules. Other tensors keep their bytes (e_score_correction_bias stays F32). The index gets the
/// new names and the right total_size, config.json (written last, so that half a cast is no model)
/// the new quantization_config or none, other files at the top of `in` are copied, folders are not.
///
/// Memory is bounded by 128 rows and the scales of one weight, one of AWQ or GPTQ repacked, beside
/// the mapped input. Files appear under their names only when they are complete and on the disk;
/// calling again after a crash keeps the weight files whose header and length are right.
/// `out`/.troupe-cast.json says what is cast.
/// *Errors*: those of `Checkpoint::open(in)`, its accessors and `check_codes`; `malformed` for
/// weights that the format cannot hold; `invalid_argument` when `in` is to be quantised and is INT8
/// or INT4 already, when `out` is `in`, is a file, or holds anything but this cast;
/// `resource_exhausted` when the disk is (or would be) full; `io`; `cancelled`.
/// *Threading*: blocks on the disk. *Source*: specification 4.5, 4.8.
Expected<CastReport> cast_checkpoint(const std::filesystem::path& in,
                                     const std::filesystem::path& out,
                                     const CastOptions& options = {});

}  // namespace troupe::model
