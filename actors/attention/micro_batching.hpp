// Whether an attention shard cuts its steps into two micro-batches.
#pragma once
#include <cstdint>
#include <string_view>

namespace troupe::actors {

enum class MicroBatching : std::uint8_t {
  measured = 0,  // where it turns out to be faster
  never = 1,
  always = 2
};

/// "auto", "1" or "2", as configuration and flags spell it; everything else is measured.
constexpr MicroBatching micro_batching_of(std::string_view text) {
  return text == "1"   ? MicroBatching::never
         : text == "2" ? MicroBatching::always
                       : MicroBatching::measured;
}

}  // namespace troupe::actors
