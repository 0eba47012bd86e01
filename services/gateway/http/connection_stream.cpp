// poll(2) whenever the wire has nothing, with deadlines and counts around it.
#include "services/gateway/http/connection_stream.hpp"

#include <poll.h>

#include <algorithm>
#include <cerrno>

namespace troupe::services::http {
namespace {

constexpr std::chrono::seconds kDiscardTime{2};
/// The frame of a chunked body may take as much again, and some, as its bytes: "1\r\nx\r\n".
constexpr std::size_t kChunkedFactor = 6;
constexpr std::size_t kOpeningBytes = 12;  // a string of so many takes no memory of its own

/// What a request line may begin with, the empty line that some put before it included. Without
/// this check whoever speaks TLS to a plain port would be waited for until a newline comes.
bool may_begin(char c) { return (c > ' ' && c < '\x7f') || c == '\r' || c == '\n'; }

}  // namespace

void ConnectionStream::begin_request() {
  read_until_ = Clock::now() + limits_.read_time_max;
  request_bytes_ = 0;
  part_bytes_max_ = limits_.header_bytes_max;
  head_.clear();
  in_body_ = false;
  chunks_.reset();
  failure_ = Failure::none;
  opening_.clear();
}

void ConnectionStream::begin_body(bool chunked) {
  head_.clear();
  head_.shrink_to_fit();  // up to 32 KiB that an idle connection needs no more
  in_body_ = true;
  if (chunked) chunks_.emplace();
  request_bytes_ = 0;
  part_bytes_max_ = limits_.body_bytes_max * kChunkedFactor;
}

bool ConnectionStream::wait(short events, Clock::time_point until) const {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now());
    if (left.count() <= 0) return false;
    pollfd wanted{wire_->socket(), events, 0};
    const int ready = ::poll(&wanted, 1, static_cast<int>(left.count()));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
  }
}

bool ConnectionStream::fill() {
  while (true) {
    const Wire::Moved moved = wire_->read(buffer_.data(), buffer_.size());
    if (moved.bytes > 0) {
      begin_ = 0;
      end_ = static_cast<std::size_t>(moved.bytes);
      return true;
    }
    if (moved.bytes == 0 || moved.wait_for == 0) {
      failure_ = Failure::closed;
      return false;
    }
    if (!wait(moved.wait_for, read_until_)) {
      failure_ = Failure::read_time;
      return false;
    }
  }
}

bool ConnectionStream::look_at(std::string_view bytes) {
  if (in_body_) {
    if (!chunks_ || chunks_->take(bytes)) return true;
    failure_ = Failure::chunks;
    return false;
  }
  for (const char c : bytes) {
    if (c == '\n' && !head_.ends_with('\r')) {
      failure_ = Failure::header_line;
      return false;
    }
    head_ += c;
  }
  return true;
}

ssize_t ConnectionStream::read(char* to, size_t bytes) {
  if (failure_ != Failure::none) return -1;
  if (request_bytes_ >= part_bytes_max_) {
    failure_ = in_body_ ? Failure::body_bytes : Failure::header_bytes;
    return -1;
  }
  if (begin_ == end_ && !fill()) return -1;
  if (!in_body_ && request_bytes_ == 0) {
    opening_.assign(buffer_.data() + begin_, std::min(end_ - begin_, kOpeningBytes));
    if (!may_begin(opening_.front())) {
      failure_ = Failure::foreign;
      return -1;
    }
  }
  const std::size_t taken = std::min({bytes, end_ - begin_, part_bytes_max_ - request_bytes_});
  std::copy_n(buffer_.data() + begin_, taken, to);
  begin_ += taken;
  request_bytes_ += taken;
  if (!look_at({to, taken})) return -1;
  return static_cast<ssize_t>(taken);
}

ssize_t ConnectionStream::write(const char* from, size_t bytes) {
  if (broken_ || bytes == 0) return broken_ ? -1 : 0;
  const auto until = Clock::now() + limits_.write_time_max;
  while (true) {
    const Wire::Moved moved = wire_->write(from, bytes);
    if (moved.bytes > 0) return moved.bytes;
    if (moved.bytes == 0 || moved.wait_for == 0 || !wait(moved.wait_for, until)) break;
  }
  broken_ = true;
  return -1;
}

void ConnectionStream::discard_rest() {
  if (failure_ == Failure::closed || broken_) return;
  wire_->end();
  const auto until = Clock::now() + kDiscardTime;
  std::size_t left = limits_.body_bytes_max;
  while (left > 0) {
    const Wire::Moved moved = wire_->read(buffer_.data(), buffer_.size());
    if (moved.bytes > 0) {
      left -= std::min(left, static_cast<std::size_t>(moved.bytes));
    } else if (moved.bytes == 0 || moved.wait_for == 0 || !wait(moved.wait_for, until)) {
      return;
    }
  }
}

}  // namespace troupe::services::http
