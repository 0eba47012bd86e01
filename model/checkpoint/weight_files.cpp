// Asks the mapped files for their sizes.
#include "model/checkpoint/weight_files.hpp"

#include <algorithm>

namespace troupe::model {

void WeightFiles::add(const MappedFile& file) {
  if (std::ranges::find(files_, &file) == files_.end()) files_.push_back(&file);
}

std::optional<std::string_view> WeightFiles::truncated() const {
  for (const MappedFile* file : files_)
    if (!file->has_its_size()) return file->path();
  return std::nullopt;
}

void WeightFiles::end_process_if_truncated() const {
  if (const auto path = truncated()) end_for_truncated_file(*path);
}

}  // namespace troupe::model
