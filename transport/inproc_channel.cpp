// The queue of one direction of an in-process link.
#include "transport/inproc_channel.hpp"

#include <algorithm>
#include <utility>

namespace troupe::transport::detail {

InprocChannel::Admission InprocChannel::admit(std::size_t bytes) {
  std::lock_guard lock(mutex_);
  if (reader_left_) return Admission::closed;
  const bool full = frames_under_way_ >= limits_.frames_max ||
                    (frames_under_way_ > 0 && bytes_under_way_ + bytes > limits_.bytes_max);
  if (full) {
    starved_ = true;
    return Admission::full;
  }
  ++frames_under_way_;
  bytes_under_way_ += bytes;
  return Admission::taken;
}

void InprocChannel::push(Buffer frame) {
  std::lock_guard lock(mutex_);
  if (reader_left_ || connection_.is_cut()) return took(frame.size());
  frames_.push_back(std::move(frame));
  filled_.store(true, std::memory_order_release);
  wake_reader();
}

void InprocChannel::push_delayed(Buffer frame) {
  std::lock_guard lock(mutex_);
  delayed_.push_back(std::move(frame));
}

void InprocChannel::push_copy(Buffer frame) {
  {
    std::lock_guard lock(mutex_);
    ++frames_under_way_;
    bytes_under_way_ += frame.size();
  }
  push(std::move(frame));
}

void InprocChannel::forget(std::size_t bytes) {
  std::lock_guard lock(mutex_);
  took(bytes);
}

void InprocChannel::took(std::size_t bytes) {
  --frames_under_way_;
  bytes_under_way_ -= bytes;
  if (std::exchange(starved_, false) && writer_bell_ != nullptr) writer_bell_->knock();
}

void InprocChannel::drain(std::vector<Buffer>& out, std::size_t count_max) {
  if (!filled_.load(std::memory_order_acquire)) return;
  std::lock_guard lock(mutex_);
  if (frozen_) return;
  for (; count_max > 0 && !frames_.empty(); --count_max) {
    took(frames_.front().size());
    out.push_back(std::move(frames_.front()));
    frames_.pop_front();
  }
  filled_.store(!frames_.empty(), std::memory_order_release);
}

bool InprocChannel::park() {
  std::lock_guard lock(mutex_);
  parked_ = frozen_ || frames_.empty();
  return parked_;
}

bool InprocChannel::ended() const {
  if (!writer_left_.load(std::memory_order_acquire)) return false;
  std::lock_guard lock(mutex_);
  return frames_.empty() && !frozen_;
}

std::size_t InprocChannel::under_way() const {
  std::lock_guard lock(mutex_);
  return frames_under_way_;
}

void InprocChannel::wake_reader() {
  if (std::exchange(parked_, false) && reader_bell_ != nullptr) reader_bell_->knock();
}

void InprocChannel::writer_leaves() {
  std::lock_guard lock(mutex_);
  writer_left_.store(true, std::memory_order_release);
  writer_bell_ = nullptr;
  wake_reader();
}

void InprocChannel::reader_leaves() {
  std::lock_guard lock(mutex_);
  reader_left_ = true;
  reader_bell_ = nullptr;
  drop_all();
}

void InprocChannel::drop_all() {
  frames_under_way_ -= frames_.size() + delayed_.size();
  for (const auto* queue : {&frames_, &delayed_}) {
    for (const Buffer& frame : *queue) bytes_under_way_ -= frame.size();
  }
  frames_.clear();
  delayed_.clear();
  filled_.store(false, std::memory_order_release);
}

void InprocChannel::cut() {
  std::lock_guard lock(mutex_);
  drop_all();
  if (writer_bell_ != nullptr) writer_bell_->ring();
  if (reader_bell_ != nullptr) reader_bell_->ring();
}

void InprocChannel::set_frozen(bool frozen) {
  std::lock_guard lock(mutex_);
  frozen_ = frozen;
  if (!frozen) wake_reader();
}

void InprocChannel::release_delayed() {
  std::lock_guard lock(mutex_);
  for (Buffer& frame : delayed_) frames_.push_back(std::move(frame));
  delayed_.clear();
  if (frames_.empty()) return;
  filled_.store(true, std::memory_order_release);
  wake_reader();
}

void InprocChannel::lose_peer() { connection_.cut(); }

void InprocConnection::cut() {
  cut_.store(true, std::memory_order_release);
  a_to_b.cut();
  b_to_a.cut();
}

}  // namespace troupe::transport::detail
