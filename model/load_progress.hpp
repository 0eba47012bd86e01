// How far the weights of a model are loaded, from those who load them to whoever shows it.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string_view>
#include <utility>

namespace troupe::model {

/// *Threading*: any.
class LoadProgress {
 public:
  /// What is counted here is counted in `whole` as well, if there is one.
  explicit LoadProgress(std::shared_ptr<LoadProgress> whole = nullptr) : whole_(std::move(whole)) {}

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
  std::shared_ptr<LoadProgress> whole_;
  mutable std::mutex mutex_;
  std::map<std::int64_t, std::uint64_t> bytes_left_;  // by layer
  std::uint64_t bytes_done_ = 0;
  std::uint64_t bytes_total_ = 0;
};

}  // namespace troupe::model
