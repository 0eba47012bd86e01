// A checkpoint in any weight format as plain F32 tensors, decoded apart from the product's code.
#pragma once
#include <cmath>
#include <cstring>
#include <set>
#include <string>
#include <string_view>

#include "model/checkpoint/checkpoint.hpp"
#include "tests/support/tiny_checkpoint.hpp"

namespace troupe::testing {

/// Element `i` of a tensor of numbers.
inline float stored_float(const model::TensorView& tensor, std::int64_t i) {
  float value = 0;
  if (tensor.dtype == DType::bf16)
    std::memcpy(reinterpret_cast<char*>(&value) + 2, tensor.data + 2 * i, 2);
  else
    std::memcpy(&value, tensor.data + 4 * i, 4);
  return value;
}

/// An e4m3 code by its definition (specification 4.1).
inline float e4m3_by_definition(unsigned code) {
  const int exponent = static_cast<int>(code >> 3) & 15;
  const auto mantissa = static_cast<float>(code & 7);
  const float magnitude =
      exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(1 + mantissa / 8, exponent - 7);
  return (code & 0x80) != 0 ? -magnitude : magnitude;
}

/// The values of the linear layer `name` (".weight" included), which must be there.
inline std::vector<float> linear_values(const model::Checkpoint& checkpoint,
                                        const std::string& name) {
  const model::TensorView* codes = checkpoint.find(name);
  const model::TensorView* scale = checkpoint.find(name + "_scale");
  const model::TensorView* blocks = checkpoint.find(name + "_scale_inv");
  std::vector<float> values;
  if (codes == nullptr) {
    codes = checkpoint.find(name + "_packed");
    std::int32_t cols = 0;
    std::memcpy(&cols, checkpoint.find(name + "_shape")->data + 4, 4);
    for (std::int64_t row = 0; row < codes->shape[0]; ++row)
      for (std::int64_t col = 0; col < cols; ++col) {
        std::uint32_t word = 0;
        std::memcpy(&word, codes->data + 4 * (row * codes->shape[1] + col / 8), 4);
        const int code = static_cast<int>(word >> (4 * (col % 8)) & 15) - 8;
        values.push_back(static_cast<float>(code) *
                             stored_float(*scale, row * scale->shape[1] + col / 32) +
                         0.0f);
      }
    return values;
  }
  const std::int64_t cols = codes->shape[1];
  for (std::int64_t i = 0; i < codes->count(); ++i) {
    if (codes->dtype != DType::f8_e4m3 && codes->dtype != DType::i8) {
      values.push_back(stored_float(*codes, i));
      continue;
    }
    const auto code = std::to_integer<std::uint8_t>(codes->data[i]);
    const float value = codes->dtype == DType::i8
                            ? static_cast<float>(static_cast<std::int8_t>(code))
                            : e4m3_by_definition(code);
    values.push_back(
        value * (blocks == nullptr
                     ? stored_float(*scale, i / cols)
                     : stored_float(*blocks, i / cols / 128 * blocks->shape[1] + i % cols / 128)));
  }
  return values;
}

/// The linear layer that a tensor belongs to (".weight" included), or the tensor's own name.
inline std::string layer_of(std::string_view tensor) {
  for (const std::string_view suffix : {"_packed", "_scale", "_scale_inv", "_shape"})
    if (tensor.ends_with(suffix)) tensor.remove_suffix(suffix.size());
  return std::string(tensor);
}

/// Writes `checkpoint` to `dir` with every linear layer as F32 and no quantization_config; with
/// names in `only`, of an INT4 checkpoint, just those, which `ignore` then lists.
inline void write_dequantised(const model::Checkpoint& checkpoint, const std::filesystem::path& dir,
                              const std::set<std::string>& only = {}) {
  StoredTensors tensors;
  for (const model::TensorView& tensor : checkpoint.tensors()) {
    const std::string name = layer_of(tensor.name);
    const bool kept = !only.empty() && !only.contains(name);
    const bool of_numbers = tensor.dtype == DType::bf16 || tensor.dtype == DType::f32;
    if (kept || (of_numbers && name == tensor.name)) {
      tensors[std::string(tensor.name)] = {
          std::string(to_string(tensor.dtype)), tensor.shape,
          std::string(reinterpret_cast<const char*>(tensor.data), tensor.bytes)};
      continue;
    }
    if (!tensor.name.ends_with("weight") && !tensor.name.ends_with("_packed")) continue;
    StoredTensor& out = tensors[name];
    const std::vector<float> values = linear_values(checkpoint, name);
    const std::int64_t rows = tensor.shape[0];
    out = {"F32",
           {rows, static_cast<std::int64_t>(values.size()) / rows},
           std::string(reinterpret_cast<const char*>(values.data()), values.size() * 4)};
  }
  auto config = nlohmann::ordered_json::parse(read_bytes(checkpoint.directory() / "config.json"));
  if (only.empty()) config.erase("quantization_config");
  for (const std::string& name : only)  // without ".weight"
    config["quantization_config"]["ignore"].push_back(name.substr(0, name.size() - 7));
  std::filesystem::create_directories(dir);
  write_bytes(dir / "config.json", config.dump());
  write_bytes(dir / "model.safetensors", safetensors_bytes(tensors));
}

}  // namespace troupe::testing
