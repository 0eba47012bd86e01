// An accepted connection as cpp-httplib reads it: a request may have so many bytes and so long.
#pragma once
#include <httplib.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <string>

namespace troupe::services {

/// Every read and write ends at the deadline, and reading ends at the byte limit, as if the peer
/// had closed. The library alone bounds neither the number of headers nor the length of a line.
/// *Threading*: one thread.
class BoundedStream : public httplib::Stream {
 public:
  struct Limits {
    std::size_t read_bytes_max = 0;
    std::chrono::steady_clock::time_point deadline;
  };
  /// `socket` is non-blocking and outlives this.
  BoundedStream(int socket, Limits limits) : socket_(socket), limits_(limits) {}

  bool is_readable() const override { return true; }
  bool is_writable() const override { return true; }
  ssize_t read(char* to, size_t bytes) override;
  ssize_t write(const char* from, size_t bytes) override;
  void get_remote_ip_and_port(std::string&, int&) const override {}
  void get_local_ip_and_port(std::string&, int&) const override {}
  socket_t socket() const override { return socket_; }
  /// Nothing has come at all.
  bool silent() const { return read_bytes_ == 0; }

 private:
  bool wait(short events) const;
  bool fill();

  int socket_;
  Limits limits_;
  std::size_t read_bytes_ = 0;
  std::array<char, 4096> buffer_{};
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace troupe::services
