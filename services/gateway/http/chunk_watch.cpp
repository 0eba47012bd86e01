// One place of the grammar after the other; the data of chunks is skipped.
#include "services/gateway/http/chunk_watch.hpp"

#include <algorithm>

#include "core/hexadecimal.hpp"

namespace troupe::services::http {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t'; }

}  // namespace

bool ChunkWatch::take(std::string_view bytes) {
  while (!bytes.empty() && place_ != Place::broken) {
    if (place_ != Place::data) {
      place_ = after(bytes.front());
      bytes.remove_prefix(1);
      continue;
    }
    const auto skipped = std::min<std::uint64_t>(data_left_, bytes.size());
    data_left_ -= skipped;
    bytes.remove_prefix(static_cast<std::size_t>(skipped));
    if (data_left_ == 0) place_ = Place::data_end;
  }
  return place_ != Place::broken;
}

ChunkWatch::Place ChunkWatch::after_size(char c) {
  const int digit = hex_digit(c);
  if (digit != kNoHexDigit && data_left_ >> 60 == 0) {
    data_left_ = data_left_ << 4 | static_cast<std::uint64_t>(digit);
    return Place::size;
  }
  if (place_ == Place::size_begin || digit != kNoHexDigit) return Place::broken;
  if (c == '\r') return Place::size_end;
  if (c == ';') return Place::extension;
  return is_blank(c) ? Place::padding : Place::broken;
}

ChunkWatch::Place ChunkWatch::after(char c) {
  const auto if_next = [c](char wanted, Place then) { return c == wanted ? then : Place::broken; };
  switch (place_) {
    case Place::size_begin:
    case Place::size: return after_size(c);
    case Place::padding: return is_blank(c) ? place_ : if_next(';', Place::extension);
    case Place::extension:
      if (c == '\r') return Place::size_end;
      return static_cast<unsigned char>(c) >= ' ' || c == '\t' ? place_ : Place::broken;
    case Place::size_end: return if_next('\n', data_left_ > 0 ? Place::data : Place::last_line);
    case Place::data: return Place::broken;  // never here: its bytes are skipped
    case Place::data_end: return if_next('\r', Place::chunk_end);
    case Place::chunk_end: return if_next('\n', Place::size_begin);
    case Place::last_line: return if_next('\r', Place::last_end);
    case Place::last_end: return if_next('\n', Place::done);
    case Place::done:
    case Place::broken: break;
  }
  return Place::broken;
}

}  // namespace troupe::services::http
