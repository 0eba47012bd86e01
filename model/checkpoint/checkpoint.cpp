// Opens checkpoints, answers for tensors by name, and derives the model's revision.
#include "model/checkpoint/checkpoint.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <mutex>
#include <unordered_map>

#include "core/hexadecimal.hpp"
#include "core/sha256.hpp"
#include "kernels/huge_pages.hpp"
#include "model/checkpoint/files.hpp"
#include "model/checkpoint/tensor_checks.hpp"
#include "model/checkpoint/transposed_weight.hpp"
#include "model/config/json_value.hpp"

namespace troupe::model {

struct Checkpoint::State {
  std::filesystem::path dir;
  PageUse pages;
  std::mutex parts_mutex;
  std::vector<std::span<const std::byte>> parts;  // as will_read was told
  ModelConfig config;
  std::string config_canonical;  // config.json, compact, keys sorted
  ShardSet shards;
  bool has_mtp = false;

  std::mutex scales_mutex;
  std::unordered_map<std::string_view, std::vector<float>> scales;  // by name of the weight
};

namespace {

constexpr std::uint64_t kConfigBytesMax = 16 << 20;

/// Element `i` of a tensor of dtype F32, BF16 or F8_E8M0, as F32.
float element(const TensorView& tensor, std::int64_t i) {
  const std::byte* data = tensor.data + static_cast<std::size_t>(i) * bytes_of(tensor.dtype);
  if (tensor.dtype == DType::f8_e8m0) return e8m0_to_f32(std::to_integer<std::uint8_t>(*data));
  if (tensor.dtype == DType::bf16) {
    Bf16 bits = 0;
    std::memcpy(&bits, data, sizeof bits);
    return bf16_to_f32(bits);
  }
  float value = 0;
  std::memcpy(&value, data, sizeof value);
  return value;
}

/// All elements as F32; none may be NaN or infinite.
Expected<std::vector<float>> finite_values(const TensorView& tensor) {
  std::vector<float> values(static_cast<std::size_t>(tensor.count()));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = element(tensor, static_cast<std::int64_t>(i));
    if (std::isfinite(values[i])) continue;
    std::string where = std::to_string(i);
    if (tensor.shape.size() == 2) {
      const auto cols = static_cast<std::size_t>(tensor.shape[1]);
      where = "row " + std::to_string(i / cols) + ", column " + std::to_string(i % cols);
    }
    return unexpected(Errc::malformed, std::string(tensor.file) + ": tensor " +
                                           std::string(tensor.name) + " holds NaN or infinity at " +
                                           where + "; the file is damaged, download it again");
  }
  return values;
}

Expected<std::string> canonical_config(const std::filesystem::path& file) {
  const Expected<std::string> text = read_text_file(file, kConfigBytesMax);
  if (!text) return unexpected(text.error());
  const Expected<JsonValue> value = parse_json(*text);
  if (!value) return at(file, value.error());
  return to_json(*value, 0, JsonKeys::sorted);
}

/// Those of the parts that lie in a file.
std::vector<std::span<const std::byte>> parts_in(
    const SafetensorsFile& file, std::span<const std::span<const std::byte>> parts) {
  const std::span<const std::byte> all = file.mapping().bytes();
  std::vector<std::span<const std::byte>> here;
  for (const auto& part : parts)
    if (all.data() <= part.data() && part.data() < all.data() + all.size()) here.push_back(part);
  return here;
}

Expected<void> check_directory(const std::filesystem::path& dir) {
  std::error_code error;
  const auto status = std::filesystem::status(dir, error);
  if (!std::filesystem::exists(status))
    return unexpected(Errc::not_found, "there is no model directory " + dir.string());
  if (!std::filesystem::is_directory(status))
    return unexpected(Errc::invalid_argument,
                      dir.string() +
                          " is not a directory; name the directory that holds "
                          "config.json and the safetensors files");
  return {};
}

}  // namespace

Checkpoint::Checkpoint(std::unique_ptr<State> state) : state_(std::move(state)) {}
Checkpoint::Checkpoint(Checkpoint&&) noexcept = default;
Checkpoint& Checkpoint::operator=(Checkpoint&&) noexcept = default;
Checkpoint::~Checkpoint() = default;

Expected<Checkpoint> Checkpoint::open(const std::filesystem::path& dir, PageUse pages) {
  if (const auto fine = check_directory(dir); !fine) return unexpected(fine.error());
  // The configuration comes first, so that an unsupported model is refused for what it is.
  Expected<ModelConfig> config = load_config(dir, {.q_proj = true});
  if (!config) return unexpected(config.error());
  Expected<ShardSet> shards = open_shards(dir);
  if (!shards) return unexpected(shards.error());

  Checkpoint checkpoint(std::make_unique<State>());
  State& state = *checkpoint.state_;
  state.dir = dir;
  state.pages = pages;
  state.shards = *std::move(shards);
  for (const SafetensorsFile& file : state.shards.files) {
    const auto bytes = file.mapping().bytes();
    // What is read before `will_read` would bring large pages in otherwise.
    if (pages.sparing)
      kernels::ask_for_small_pages(bytes);
    else if (pages.huge)
      kernels::ask_for_huge_pages(bytes);
  }
  if (checkpoint.find_weight(layer_prefix(0) + "self_attn.q_proj.weight") == nullptr)
    config = load_config(dir, {.q_proj = false});
  if (!config) return unexpected(config.error());
  state.config = *std::move(config);
  Expected<std::string> canonical = canonical_config(dir / "config.json");
  if (!canonical) return unexpected(canonical.error());
  state.config_canonical = *std::move(canonical);

  const Quantisation& how = state.config.quantisation;
  const bool expressions = how.format == WeightFormat::int4_groups;
  const Expected<IgnoreList> ignore =
      expressions ? IgnoreList::compile(how.ignore) : Expected<IgnoreList>(IgnoreList());
  if (!ignore) return at(dir / "config.json", ignore.error());
  const TensorChecks checks(state.config, state.shards.tensors, *ignore);
  if (const auto fine = checks.check_main(); !fine) return at(dir, fine.error());
  const Expected<bool> mtp = checks.check_mtp();
  if (!mtp) return at(dir, mtp.error());
  state.has_mtp = *mtp;
  return checkpoint;
}

const ModelConfig& Checkpoint::config() const { return state_->config; }
const std::filesystem::path& Checkpoint::directory() const { return state_->dir; }
PageUse Checkpoint::pages() const { return state_->pages; }

void Checkpoint::will_read(std::span<const std::span<const std::byte>> parts) const {
  if (!pages().sparing) return;
  const std::lock_guard lock(state_->parts_mutex);
  state_->parts.insert(state_->parts.end(), parts.begin(), parts.end());
  for (const SafetensorsFile& file : files()) {
    const auto here = parts_in(file, state_->parts);
    if (pages().huge && !here.empty() && fit_huge_pages(here))
      kernels::ask_for_huge_pages(file.mapping().bytes());
  }
}

void Checkpoint::let_go_of_the_rest() const {
  if (!pages().sparing) return;
  const std::lock_guard lock(state_->parts_mutex);
  for (const SafetensorsFile& file : files()) {
    const auto here = parts_in(file, state_->parts);
    if (here.empty() || !fit_huge_pages(here)) forget_but(file.mapping().bytes(), here);
  }
}

bool Checkpoint::has_mtp() const { return state_->has_mtp; }
std::span<const TensorView> Checkpoint::tensors() const { return state_->shards.tensors; }
std::span<const SafetensorsFile> Checkpoint::files() const { return state_->shards.files; }
std::span<const std::string> Checkpoint::file_names() const { return state_->shards.names; }

const MappedFile& Checkpoint::mapping_of(const TensorView& tensor) const {
  const auto name = std::ranges::lower_bound(state_->shards.names, tensor.file);
  return files()[static_cast<std::size_t>(name - state_->shards.names.begin())].mapping();
}

Expected<void> Checkpoint::check_sizes() const {
  for (const SafetensorsFile& file : files())
    if (!file.mapping().has_its_size())
      return unexpected(Errc::truncated, file.path() + ": changed its size while it was read");
  return {};
}

const TensorView* Checkpoint::find(std::string_view name) const {
  return find_tensor(state_->shards.tensors, name);
}

const TensorView* Checkpoint::find_weight(std::string_view name) const {
  return model::find_weight(state_->shards.tensors, name);
}

Expected<TensorView> Checkpoint::require(std::string_view name, std::initializer_list<DType> dtypes,
                                         std::initializer_list<std::int64_t> shape) const {
  return require_tensor(state_->shards.tensors, name, dtypes, shape);
}

Expected<StoredWeight> Checkpoint::stored(std::string_view name, std::int64_t rows,
                                          std::int64_t cols) const {
  return require_linear(state_->shards.tensors, name, rows, cols, config().quantisation);
}

Expected<kernels::WeightMatrix> Checkpoint::matrix(std::string_view name, std::int64_t rows,
                                                   std::int64_t cols) const {
  const Expected<StoredWeight> weight = stored(name, rows, cols);
  if (!weight) return unexpected(weight.error());
  if (is_transposed(weight->format))
    return unexpected(Errc::unsupported,
                      "tensor " + std::string(weight->codes.name) + " has to be repacked");
  kernels::WeightMatrix matrix{
      .data = weight->codes.data, .dtype = weight->codes.dtype, .rows = rows, .cols = cols};
  if (weight->format == WeightFormat::plain) return matrix;
  if (weight->format == WeightFormat::int4_groups) {
    matrix.group_scales = weight->scale->data;
    return matrix;
  }
  if (weight->format == WeightFormat::int8_channel) matrix.scale_shape = kernels::ScaleShape::row;
  const std::lock_guard lock(state_->scales_mutex);
  auto known = state_->scales.find(weight->codes.name);
  if (known == state_->scales.end()) {
    Expected<std::vector<float>> values = finite_values(*weight->scale);
    if (!values) return unexpected(values.error());
    known = state_->scales.emplace(weight->codes.name, *std::move(values)).first;
  }
  matrix.scales = known->second.data();
  return matrix;
}

Expected<std::vector<float>> Checkpoint::vector(std::string_view name, std::int64_t count) const {
  const Expected<TensorView> tensor = require(name, {DType::f32, DType::bf16}, {count});
  if (!tensor) return unexpected(tensor.error());
  return finite_values(*tensor);
}

std::string Checkpoint::revision() const {
  Sha256 sha;
  const auto add = [&sha](std::span<const std::byte> bytes) {
    sha.add_u64(bytes.size()).add(bytes);
  };
  add(std::as_bytes(std::span(state_->config_canonical)));
  for (const SafetensorsFile& file : files()) add(file.header_bytes());
  for (const TensorView& tensor : tensors())
    if (tensor.shape.size() == 1) add({tensor.data, tensor.bytes});
  return to_hex(sha.digest());
}

}  // namespace troupe::model
