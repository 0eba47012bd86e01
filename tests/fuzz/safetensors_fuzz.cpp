// Any bytes as a safetensors file: refused, or a tiling that can be walked.
#include <span>

#include "core/check.hpp"
#include "model/checkpoint/safetensors.hpp"
#include "tests/fuzz/fuzz_target.hpp"

namespace {

std::string file_of(const std::string& header, std::size_t data_bytes) {
  std::string file(8, '\0');
  for (std::size_t i = 0; i < 8; ++i)
    file[i] = static_cast<char>((header.size() >> (8 * i)) & 0xff);
  return file + header + std::string(data_bytes, 'x');
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto header = troupe::model::parse_safetensors_header(bytes, size);
  if (!header) {
    TROUPE_CHECK(!header.error().detail.empty(), "an error without a reason");
    return 0;
  }
  std::uint64_t end = header->data_start;
  for (const auto& entry : header->entries) {
    TROUPE_CHECK(header->data_start + entry.begin == end, entry.name);
    end = header->data_start + entry.end;
    TROUPE_CHECK(end <= size, entry.name);
  }
  TROUPE_CHECK(end == size, std::to_string(end));
  return 0;
}

std::vector<std::string> fuzz_seeds() {
  return {
      file_of("{}", 0),
      file_of(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", 4),
      file_of(R"({"__metadata__":{"format":"pt"},)"
              R"("w":{"dtype":"F8_E4M3","shape":[3,5],"data_offsets":[0,15]},)"
              R"("w_scale_inv":{"dtype":"F32","shape":[1,1],"data_offsets":[15,19]},)"
              R"("n":{"dtype":"BF16","shape":[5],"data_offsets":[19,29]}}   )",
              29),
      file_of(R"({"s":{"dtype":"I64","shape":[],"data_offsets":[0,8]},)"
              R"("e":{"dtype":"F16","shape":[0,7],"data_offsets":[8,8]}})",
              8),
  };
}
