// Builds small V3 checkpoints, whole or broken on purpose, and writes them as safetensors.
#pragma once
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "core/dtype.hpp"
#include "tests/support/temp_dir.hpp"

namespace troupe::testing {

/// A tensor as a file stores it; `dtype` is the header's word, which may be nonsense.
struct StoredTensor {
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::string bytes;

  template <class T>
  T* as() {
    return reinterpret_cast<T*>(bytes.data());
  }
};

using StoredTensors = std::map<std::string, StoredTensor>;

/// A complete file: length, header, data in name order. `pad` spaces follow the header, so data
/// can be made to start at any offset.
inline std::string safetensors_bytes(const StoredTensors& tensors, std::size_t pad = 0) {
  nlohmann::ordered_json header = {{"__metadata__", {{"format", "pt"}}}};
  std::string data;
  for (const auto& [name, tensor] : tensors) {
    const std::size_t begin = data.size();
    data += tensor.bytes;
    header[name] = {
        {"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {begin, data.size()}}};
  }
  const std::string text = header.dump() + std::string(pad, ' ');
  std::string file(8, '\0');
  const std::uint64_t length = text.size();
  std::memcpy(file.data(), &length, 8);
  return file + text + data;
}

/// Two layers (one dense, one MoE with 4 experts) and an MTP layer, with partial scale blocks.
class TinyCheckpoint {
 public:
  explicit TinyCheckpoint(bool fp8 = true) : fp8_(fp8) {
    config = {{"architectures", {"DeepseekV3ForCausalLM"}},
              {"model_type", "deepseek_v3"},
              {"hidden_size", 160},
              {"num_hidden_layers", 2},
              {"num_attention_heads", 2},
              {"q_lora_rank", 136},
              {"kv_lora_rank", 128},
              {"qk_nope_head_dim", 32},
              {"qk_rope_head_dim", 16},
              {"v_head_dim", 32},
              {"intermediate_size", 144},
              {"moe_intermediate_size", 16},
              {"n_routed_experts", 4},
              {"n_shared_experts", 1},
              {"num_experts_per_tok", 2},
              {"n_group", 2},
              {"topk_group", 1},
              {"topk_method", "noaux_tc"},
              {"scoring_func", "sigmoid"},
              {"norm_topk_prob", true},
              {"routed_scaling_factor", 2.5},
              {"first_k_dense_replace", 1},
              {"num_nextn_predict_layers", 1},
              {"vocab_size", 64},
              {"max_position_embeddings", 256},
              {"rms_norm_eps", 1e-6},
              {"rope_theta", 10000}};
    if (fp8)
      config["quantization_config"] = {{"quant_method", "fp8"},
                                       {"fmt", "e4m3"},
                                       {"activation_scheme", "dynamic"},
                                       {"weight_block_size", {128, 128}}};
    fill();
  }

  /// Writes config.json and either model.safetensors or, when `shard_of` names any tensor, the
  /// shards and the index; tensors that it does not name go to "rest.safetensors".
  void write(const std::filesystem::path& dir) const {
    std::filesystem::create_directories(dir);
    write_bytes(dir / "config.json", config.dump(2));
    if (shard_of.empty())
      return write_bytes(dir / "model.safetensors", safetensors_bytes(tensors, pad));
    std::map<std::string, StoredTensors> shards;
    nlohmann::ordered_json map;
    for (const auto& [name, tensor] : tensors) {
      const auto placed = shard_of.find(name);
      const std::string shard = placed == shard_of.end() ? "rest.safetensors" : placed->second;
      shards[shard][name] = tensor;
      map[name] = shard;
    }
    for (const auto& [name, contents] : shards)
      write_bytes(dir / name, safetensors_bytes(contents, pad));
    const nlohmann::ordered_json index = {{"metadata", {{"total_size", 0}}}, {"weight_map", map}};
    write_bytes(dir / "model.safetensors.index.json", index.dump());
  }

  nlohmann::ordered_json config;
  StoredTensors tensors;
  std::map<std::string, std::string> shard_of;
  std::size_t pad = 0;

 private:
  void vector(const std::string& name, std::int64_t count, const std::string& dtype) {
    StoredTensor tensor{dtype, {count}, {}};
    for (std::int64_t i = 0; i < count; ++i) append(tensor, 0.5f + 0.001f * static_cast<float>(i));
    tensors[name] = tensor;
  }
  void append(StoredTensor& tensor, float value) {
    if (tensor.dtype == "F32") {
      tensor.bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
    } else if (tensor.dtype == "BF16") {
      const Bf16 bits = f32_to_bf16(value);
      tensor.bytes.append(reinterpret_cast<const char*>(&bits), sizeof bits);
    } else {
      tensor.bytes += static_cast<char>(f32_to_e4m3(value));
    }
  }
  float draw() {
    // An own mapping: the standard's distributions differ between libraries.
    return static_cast<float>(random_()) * 0x1p-31f - 1.0f;
  }
  void plain(const std::string& name, std::int64_t rows, std::int64_t cols) {
    StoredTensor tensor{"BF16", {rows, cols}, {}};
    for (std::int64_t i = 0; i < rows * cols; ++i) append(tensor, draw());
    tensors[name + ".weight"] = tensor;
  }
  void linear(const std::string& name, std::int64_t rows, std::int64_t cols) {
    if (!fp8_) return plain(name, rows, cols);
    StoredTensor tensor{"F8_E4M3", {rows, cols}, {}};
    for (std::int64_t i = 0; i < rows * cols; ++i) append(tensor, 400 * draw());
    tensors[name + ".weight"] = tensor;
    StoredTensor scale{"F32", {(rows + 127) / 128, (cols + 127) / 128}, {}};
    for (std::int64_t i = 0; i < scale.shape[0] * scale.shape[1]; ++i)
      append(scale, 0.001f * (1.5f + draw()));
    tensors[name + ".weight_scale_inv"] = scale;
  }
  void mlp(const std::string& prefix, std::int64_t width) {
    linear(prefix + "gate_proj", width, 160);
    linear(prefix + "up_proj", width, 160);
    linear(prefix + "down_proj", 160, width);
  }
  void layer(int index) {
    const std::string p = "model.layers." + std::to_string(index) + ".";
    const std::string a = p + "self_attn.";
    vector(p + "input_layernorm.weight", 160, "BF16");
    vector(p + "post_attention_layernorm.weight", 160, "BF16");
    linear(a + "q_a_proj", 136, 160);
    vector(a + "q_a_layernorm.weight", 136, "BF16");
    linear(a + "q_b_proj", 96, 136);
    linear(a + "kv_a_proj_with_mqa", 144, 160);
    vector(a + "kv_a_layernorm.weight", 128, "BF16");
    linear(a + "kv_b_proj", 128, 128);
    linear(a + "o_proj", 160, 64);
    if (index == 0) return mlp(p + "mlp.", 144);
    plain(p + "mlp.gate", 4, 160);
    vector(p + "mlp.gate.e_score_correction_bias", 4, "F32");
    mlp(p + "mlp.shared_experts.", 16);
    for (int e = 0; e < 4; ++e) mlp(p + "mlp.experts." + std::to_string(e) + ".", 16);
  }
  void fill() {
    plain("model.embed_tokens", 64, 160);
    for (int i = 0; i < 3; ++i) layer(i);
    vector("model.norm.weight", 160, "BF16");
    plain("lm_head", 64, 160);
    const std::string p = "model.layers.2.";
    for (const char* name : {"enorm.weight", "hnorm.weight", "shared_head.norm.weight"})
      vector(p + name, 160, "BF16");
    plain(p + "eh_proj", 160, 320);
    plain(p + "embed_tokens", 64, 160);
    plain(p + "shared_head.head", 64, 160);
  }

  bool fp8_;
  std::mt19937 random_{20250101};
};

}  // namespace troupe::testing
