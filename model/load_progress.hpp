// How far the weights of a model are loaded, from those who load them to whoever shows it.
#pragma once
#include <cstdint>
#include <map>
#include <mutex>
#include <string_view>

namespace troupe::model {

/// *Threading*: any.
class LoadProgress {
 public:
  /// `bytes` of the tensor `name` will be loaded.
  void expect(std::string_view name, std::uint64_t bytes);
  /// They are loaded.
  void finish(std::string_view name, std::uint64_t bytes);

  struct Snapshot {
    std::int64_t layers_done = 0;  // nothing of them is left to be loaded
    std::int64_t layers_total = 0;
    std::uint64_t bytes_done = 0;
    std::uint64_t bytes_total = 0;
  };
  Snapshot snapshot() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::int64_t, std::uint64_t> bytes_left_;  // by layer
  std::uint64_t bytes_done_ = 0;
  std::uint64_t bytes_total_ = 0;
};

}  // namespace troupe::model
