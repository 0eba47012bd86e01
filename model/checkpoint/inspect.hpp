// What a checkpoint holds and what each role would load of it: `troupe model inspect`.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/expected.hpp"
#include "model/checkpoint/checkpoint.hpp"

namespace troupe::model {

/// A set of tensors. Scales add to `bytes` and `tensors`, not to `parameters`.
struct TensorTotals {
  std::uint64_t tensors = 0;
  std::uint64_t parameters = 0;
  std::uint64_t bytes = 0;
};

struct LayerTotals {
  int layer = 0;
  std::string kind;  // "dense", "moe" or "mtp"
  TensorTotals attention;
  TensorTotals router;
  TensorTotals experts;
};

struct DTypeTotals {
  DType dtype = DType::f32;
  TensorTotals totals;
};

struct Inspection {
  std::string directory;
  std::string revision;
  ModelConfig config;
  bool has_mtp = false;
  std::uint64_t files = 0;

  TensorTotals total;      // everything in the files
  TensorTotals attention;  // main model: attention, norms, dense and shared MLPs, embedding, head
  TensorTotals router;     // main model: gates and biases
  TensorTotals experts;    // main model: routed experts
  TensorTotals mtp;        // all roles of the MTP layers
  TensorTotals unused;     // tensors that the engine does not know
  std::vector<LayerTotals> layers;   // ascending; MTP layers last, if complete
  std::vector<DTypeTotals> dtypes;   // descending by bytes
  std::uint64_t expert_bytes = 0;    // one routed expert of one layer (the largest)
  std::uint64_t kv_token_bytes = 0;  // BF16 latent cache of one token, main layers
  std::uint64_t kv_fp8_token_bytes = 0;
};

/// Adds up the tensors and reads all scales and 1-D tensors, which must be finite; of weights it
/// reads headers only.
/// *Errors*: those of `Checkpoint::matrix` and `Checkpoint::vector`.
Expected<Inspection> inspect(const Checkpoint& checkpoint);

/// A page for people; equal neighbouring layers share a line.
std::string to_text(const Inspection& inspection);
/// The same as one JSON object, every layer listed. *Units*: bytes.
std::string to_json(const Inspection& inspection);

}  // namespace troupe::model
