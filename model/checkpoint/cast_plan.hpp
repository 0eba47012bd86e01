// What a cast makes of every tensor: names, dtypes and shapes of the output, file by file.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/expected.hpp"
#include "model/checkpoint/checkpoint.hpp"

namespace troupe::model {

/// How an input tensor is written.
enum class Encoding : std::uint8_t { copy, bf16, int8_blocks, int8_channel, int4_groups };

struct OutputTensor {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0;  // byte of the file's data

  std::uint64_t bytes() const;
};

/// One input tensor and the tensors that take its place: codes, their scales, their shape.
struct CastTensor {
  const TensorView* source = nullptr;
  Encoding encoding = Encoding::copy;
  std::string weight;               // the name `Checkpoint::matrix` knows; not for copies
  std::int64_t rows = 0, cols = 0;  // of that matrix
  std::vector<OutputTensor> outputs;
};

/// An output file, planned from the input file of the same name. Every tensor begins at a multiple
/// of its dtype's size, as the format's reference writer has it: tensors keep their order, those of
/// a whole number of 8 bytes first, then the others by falling size of their elements.
struct ShardPlan {
  std::string name;
  const SafetensorsFile* source = nullptr;
  std::vector<CastTensor> tensors;
  bool verbatim = false;  // nothing to cast: the input's bytes as they are
  std::string head;       // length prefix and header text
  std::uint64_t file_bytes = 0;

  std::uint64_t tensor_bytes() const;
};

/// One plan per input file that holds anything but scales; views point into `checkpoint`.
/// *Errors*: `malformed` for an F8_E4M3 tensor that is no matrix.
Expected<std::vector<ShardPlan>> plan_shards(const Checkpoint& checkpoint, WeightFormat to,
                                             Int4Layers layers);

}  // namespace troupe::model
