// Numbers tell whether a text is newer than a question.
#include "services/runtime/ops/fresh_text.hpp"

#include <utility>

namespace troupe::services {

FreshText::FreshText(std::function<std::string()> make, std::function<void()> on_made)
    : make_(std::move(make)), on_made_(std::move(on_made)), thread_([this] { run(); }) {}

FreshText::~FreshText() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

std::uint64_t FreshText::ask() {
  std::uint64_t number = 0;
  {
    const std::lock_guard lock(mutex_);
    number = asked_ = begun_ + 1;
  }
  changed_.notify_one();
  return number;
}

bool FreshText::is_made(std::uint64_t number) const {
  const std::lock_guard lock(mutex_);
  return made_ >= number;
}

std::string FreshText::last() const {
  const std::lock_guard lock(mutex_);
  return last_;
}

void FreshText::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || asked_ > begun_; });
    if (stopping_) return;
    ++begun_;
    lock.unlock();
    std::string text = make_();
    lock.lock();
    last_ = std::move(text);
    made_ = begun_;
    lock.unlock();
    on_made_();
    lock.lock();
  }
}

}  // namespace troupe::services
