// A Hugging Face checkpoint directory: its configuration and its weights, mapped and validated.
#pragma once
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/dtype.hpp"
#include "core/expected.hpp"
#include "kernels/ops/weight_matrix.hpp"
#include "model/checkpoint/shards.hpp"
#include "model/checkpoint/tensor_checks.hpp"
#include "model/checkpoint/weight_codes.hpp"
#include "model/config/model_config.hpp"

namespace troupe::model {

/// Views and matrices point into the mapped files and stay valid while the Checkpoint (or what it
/// was moved into) lives.
/// *Threading*: const methods may be called from any thread; opening and first reads block on disk.
class Checkpoint {
 public:
  /// Reads config.json, maps the shards and checks name, dtype and shape of every tensor that the
  /// engine needs, scales included; of weights it reads headers only.
  /// *Errors*: those of `load_config`, `open_shards` and `IgnoreList::compile`; `not_found` for a
  /// tensor that is missing, `malformed` for one of another shape or another format than
  /// config.json says, `unsupported` for another dtype or an attention indexer. *Source*:
  /// specification 2.
  /// `pages`: for whoever brings its weights in.
  static Expected<Checkpoint> open(const std::filesystem::path& dir, PageUse pages = {});

  Checkpoint(Checkpoint&&) noexcept;
  Checkpoint& operator=(Checkpoint&&) noexcept;
  ~Checkpoint();

  const ModelConfig& config() const;
  const std::filesystem::path& directory() const;
  PageUse pages() const;
  /// What a role reads of the mapped files, before it does. Where pages are `sparing`, what all
  /// roles so far read decides their size, file by file. *Threading*: any.
  void will_read(std::span<const std::span<const std::byte>> parts) const;
  /// When it has: where pages are `sparing`, what no role reads and was mapped with the rest is let
  /// go. *Threading*: any.
  void let_go_of_the_rest() const;
  /// The configured MTP layers are there and complete (their two duplicates may be missing).
  bool has_mtp() const;

  /// All tensors, ascending by name, scales and unused ones included.
  std::span<const TensorView> tensors() const;
  std::span<const SafetensorsFile> files() const;
  /// Names of `files()` inside the directory.
  std::span<const std::string> file_names() const;
  /// The mapping that holds `tensor`, which must be one of `tensors()`.
  const MappedFile& mapping_of(const TensorView& tensor) const;
  /// *Errors*: `truncated`, naming the first file that has not the size it was mapped with.
  Expected<void> check_sizes() const;

  /// The tensor of exactly this name, or null.
  const TensorView* find(std::string_view name) const;
  /// The tensor with the codes of a linear layer: `name` (".weight" included), `name`_packed, or
  /// that with .qweight for .weight.
  const TensorView* find_weight(std::string_view name) const;
  /// *Errors*: `not_found`, `unsupported` (dtype) or `malformed` (shape), each naming the tensor.
  Expected<TensorView> require(std::string_view name, std::initializer_list<DType> dtypes,
                               std::initializer_list<std::int64_t> shape) const;

  /// The tensors of the weight `name` (full name, ".weight" included) [rows, cols], in whichever
  /// format it is stored. *Errors*: as `require_linear`.
  Expected<StoredWeight> stored(std::string_view name, std::int64_t rows, std::int64_t cols) const;
  /// The weight `name` (full name, ".weight" included) [rows, cols] in the format it is stored in
  /// (`require_linear` lists them). Scales of F8_E4M3 and I8 become F32, which the checkpoint
  /// keeps; codes and scales of groups are not copied, and not checked: that is `check_codes`, for
  /// the tensors a role holds. *Errors*: as `require_linear`; NaN or infinite scales are
  /// `malformed`; layers of AWQ and GPTQ, which are no matrix before `RepackedWeight` makes one,
  /// are `unsupported`.
  Expected<kernels::WeightMatrix> matrix(std::string_view name, std::int64_t rows,
                                         std::int64_t cols) const;
  /// The 1-D tensor `name` [count] as F32: exact for F32 and BF16, F16 is refused.
  /// *Errors*: as `matrix`.
  Expected<std::vector<float>> vector(std::string_view name, std::int64_t count) const;

  /// What makes two directories the same model: 64 hex digits of SHA-256 over config.json with
  /// sorted keys, the safetensors headers in name order and the contents of every 1-D tensor in
  /// name order. Reads those tensors. *Source*: design 7.
  std::string revision() const;

 private:
  struct State;
  explicit Checkpoint(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace troupe::model
