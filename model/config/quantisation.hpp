// What quantization_config says about the linear layers of a checkpoint.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::model {

class ConfigReader;
struct JsonValue;

/// How linear layers are stored. Layers that a method leaves alone are BF16 or F32 in each of them.
/// *Source*: specification 4.2 and 4.8.
enum class WeightFormat : std::uint8_t {
  plain,         // BF16 or F32
  fp8_blocks,    // quant_method fp8: F8_E4M3, 128 x 128 scales
  int8_blocks,   // blockwise_int8: I8, 128 x 128 scales (DeepSeek-R1-Block-INT8)
  int8_channel,  // w8a8_int8: I8, one scale per output feature (DeepSeek-R1-Channel-INT8)
  int4_groups,   // compressed-tensors pack-quantized: 4 bits, scales of 32 columns (Kimi K2)
  awq,           // 4 bits, scales and zero points of groups, [inputs, outputs]
  gptq,          // the same, packed along the inputs
};

/// The words of `model inspect`: "plain", "fp8", "int8", "int8-channel", "int4", "awq", "gptq".
std::string_view to_string(WeightFormat format);
/// Whether mode int8-act quantises the inputs of such weights.
inline bool takes_int8_rows(WeightFormat format) {
  return format == WeightFormat::int8_blocks || format == WeightFormat::int8_channel ||
         format == WeightFormat::int4_groups;
}

struct Quantisation {
  WeightFormat format = WeightFormat::plain;
  bool scale_fmt_ue8m0 = false;  // activation scales are powers of two (V3.1)
  /// Modules that are not quantised. int4_groups: names, or "re:" and a regular expression that
  /// matches the beginning of such names. awq: parts of names.
  std::vector<std::string> ignore = {};
  /// awq and gptq: columns that share a scale and a zero point; -1: all of a row.
  std::int64_t group_size = 0;
  bool zeros_less_one = false;  // gptq: zero points are stored less one (all but gptq_v2)
  bool desc_act = false;        // gptq: g_idx says which group a column belongs to

  friend bool operator==(const Quantisation&, const Quantisation&) = default;
};

/// Which linear layers are INT4 where that is written: the routed experts, as in Kimi K2, or all
/// but kv_b_proj, of which the engine keeps derived copies in BF16 in any case.
enum class Int4Layers : std::uint8_t { experts, all };

/// The `quantization_config` that checkpoints of this format have, and other programs expect; null
/// for plain, and for awq and gptq, which nothing here writes. `layers`: of int4_groups only.
JsonValue quantisation_json(WeightFormat format, Int4Layers layers = Int4Layers::experts);

/// Reads `quantization_config` of config.json; absent means plain. Errors go to `config`.
Quantisation read_quantisation(ConfigReader& config);

}  // namespace troupe::model
