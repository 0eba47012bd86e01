// Reading and checking of token-id arrays.
#include "services/cli/ids_file.hpp"

#include <limits>

#include "model/checkpoint/files.hpp"
#include "model/config/json_value.hpp"
#include "services/cli/input_file.hpp"

namespace troupe::services {
namespace {

using model::JsonValue;

constexpr std::uint64_t kBytesMax = std::uint64_t{256} << 20;  // 30 M ids of 6 digits and a comma

std::string array_name(std::size_t index) { return "array " + std::to_string(index); }

Expected<std::vector<std::int32_t>> ids_of(const JsonValue& json, std::size_t index) {
  const JsonValue::Array* items = json.array();
  if (items == nullptr) {
    return unexpected(Errc::malformed, array_name(index) + " is not an array of token ids");
  }
  if (items->empty()) {
    return unexpected(Errc::malformed, array_name(index) + " is empty; each needs a token id");
  }
  std::vector<std::int32_t> ids;
  ids.reserve(items->size());
  for (const JsonValue& item : *items) {
    const auto id = item.integer();
    if (!id || *id < std::numeric_limits<std::int32_t>::min() ||
        *id > std::numeric_limits<std::int32_t>::max()) {
      return unexpected(Errc::malformed, array_name(index) + " holds " + model::to_json(item) +
                                             ", which is not a token id");
    }
    ids.push_back(static_cast<std::int32_t>(*id));
  }
  return ids;
}

}  // namespace

Expected<IdArrays> read_ids_file(const std::filesystem::path& file) {
  const auto text = read_input(file, kBytesMax);
  if (!text) return unexpected(text.error());
  const auto json = model::parse_json(*text);
  if (!json) return model::at(file, json.error());
  const JsonValue::Array* arrays = json->array();
  if (arrays == nullptr || arrays->empty()) {
    return model::at(file, {Errc::malformed,
                            "it should hold a non-empty array of arrays of token ids, "
                            "as in [[0, 5, 6], [0, 7]]"});
  }
  IdArrays out;
  for (const JsonValue& array : *arrays) {
    auto ids = ids_of(array, out.size());
    if (!ids) return model::at(file, ids.error());
    out.push_back(*std::move(ids));
  }
  return out;
}

Expected<void> check_ids(const IdArrays& arrays, const IdBounds& bounds) {
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    for (const std::int32_t id : arrays[i]) {
      if (id >= 0 && id < bounds.vocab_size) continue;
      return unexpected(Errc::out_of_range, array_name(i) + " holds " + std::to_string(id) +
                                                ", and the model's token ids end at " +
                                                std::to_string(bounds.vocab_size - 1));
    }
    const auto tokens = static_cast<std::int64_t>(arrays[i].size());
    if (tokens + bounds.generated > bounds.context) {
      return unexpected(Errc::out_of_range, array_name(i) + " has " + std::to_string(tokens) +
                                                " tokens, with " +
                                                std::to_string(bounds.generated) +
                                                " to generate more than the model's context of " +
                                                std::to_string(bounds.context) + ". Shorten it");
    }
  }
  return {};
}

}  // namespace troupe::services
