// The mapped files that some weights are read from, and the check that they are still whole.
#pragma once
#include <optional>
#include <string_view>
#include <vector>

#include "model/checkpoint/mapped_files.hpp"

namespace troupe::model {

/// A file that is cut inside its last remaining page reads as zeros there, without a signal. Who
/// computes from mapped weights asks afterwards, once per result and not per row, whether the files
/// had their sizes all the time. *Threading*: const functions from any thread.
class WeightFiles {
 public:
  /// Keeps a pointer: `file` must stay where it is. Listed once however often it is added.
  void add(const MappedFile& file);
  /// The path of a file that has lost its size. One fstat per file.
  std::optional<std::string_view> truncated() const;
  /// Ends the process with exit code 4 and the file's name if there is one.
  void end_process_if_truncated() const;

 private:
  std::vector<const MappedFile*> files_;
};

}  // namespace troupe::model
