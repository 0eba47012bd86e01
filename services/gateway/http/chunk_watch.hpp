// Reads the sizes of a chunked body as its bytes pass, and stops where they are not well-formed.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace troupe::services::http {

/// The library takes "0x10", "-1" and "5 and more" for sizes, and a chunk that is longer than its
/// size for the end of a body that it calls whole. Another server sees that end elsewhere: what
/// follows is one more request to the one and a part of the body to the other.
/// *Source*: RFC 9112, 7.1; without trailers, which the library does not take either.
class ChunkWatch {
 public:
  /// False: one of these bytes, or one before, does not belong into a chunked body.
  bool take(std::string_view bytes);

 private:
  enum class Place : std::uint8_t {
    size_begin,
    size,
    padding,  // white space before the semicolon of an extension
    extension,
    size_end,
    data,
    data_end,
    chunk_end,
    last_line,
    last_end,
    done,
    broken
  };
  Place after(char c);
  Place after_size(char c);

  Place place_ = Place::size_begin;
  std::uint64_t data_left_ = 0;
};

}  // namespace troupe::services::http
