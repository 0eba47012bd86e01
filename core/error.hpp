// What went wrong, as a value: a wire-stable code and a sentence for the person who has to act.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace troupe {

/// Kinds of foreseen failure. Values travel in frames: append only, never renumber.
enum class Errc : std::uint16_t {
  ok = 0,
  invalid_argument = 1,     // the caller's input is off; asking again unchanged cannot help
  not_found = 2,            // a file, tensor, model or peer that was named does not exist
  malformed = 3,            // bytes that do not follow their format
  unsupported = 4,          // well-formed, but something Troupe does not do; the detail says what
  truncated = 5,            // a file or frame ends before its contents do
  io = 6,                   // the operating system refused; the detail carries errno's text
  out_of_range = 7,         // a token id, position or index past its bound
  overloaded = 8,           // a bounded queue is full; try again later
  deadline_exceeded = 9,    // the budget of a request or hop ran out
  cancelled = 10,           // whoever asked has withdrawn
  unavailable = 11,         // the peer that would serve this is not there
  not_resident = 12,        // the expert shard does not hold that expert
  stale = 13,               // an answer to a question that was given up
  resource_exhausted = 14,  // memory, pages or threads are used up
  unsupported_cpu = 15,     // the machine lacks the instructions that were asked for
  internal = 16,            // a bug
};

/// Short stable name, as logs and metrics spell it.
std::string_view to_string(Errc code);

struct Error {
  Errc code = Errc::internal;
  std::string detail;  // what, where, why, and the next step

  friend bool operator==(const Error&, const Error&) = default;
};

}  // namespace troupe
