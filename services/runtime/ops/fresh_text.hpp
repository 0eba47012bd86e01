// A text that takes time to make, for askers that do not wait.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace troupe::services {

/// Makes the text on a thread of its own whenever somebody has asked; many who ask while one is
/// being made share the next. *Threading*: any; nothing but the destructor blocks.
class FreshText {
 public:
  /// `make` may take its time; `on_made` is called after each, on the same thread.
  FreshText(std::function<std::string()> make, std::function<void()> on_made);
  FreshText(const FreshText&) = delete;
  /// Waits for the one being made.
  ~FreshText();

  /// Asks for a text whose making begins after this call. Returns its number.
  std::uint64_t ask();
  /// Whether that one is made, or one after it.
  bool is_made(std::uint64_t number) const;
  /// The last one made; empty before the first.
  std::string last() const;

 private:
  void run();

  std::function<std::string()> make_;
  std::function<void()> on_made_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t asked_ = 0;
  std::uint64_t begun_ = 0;
  std::uint64_t made_ = 0;
  std::string last_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace troupe::services
