// Work that waits for credits: bounded, decode before prefill, first come first out in each lane.
#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>

#include "core/expected.hpp"
#include "transport/credits.hpp"

namespace troupe::transport {

struct LaneQueueLimits {
  std::size_t items_max = 1024;
  std::size_t rows_max = 65536;
};

/// *Threading*: one owner.
template <class Item>
class LaneQueue {
 public:
  using Limits = LaneQueueLimits;

  /// An item that was taken out, with the credits that are now reserved for it.
  struct Taken {
    Item item;
    std::uint32_t rows;
    Lane lane;
  };

  /// `credits` must outlive the queue.
  explicit LaneQueue(CreditAccount& credits, Limits limits = {})
      : credits_(credits), limits_(limits) {}

  /// On refusal `item` is left as it was.
  /// *Errors*: `overloaded` past a limit; `out_of_range` for more rows than the grant can ever
  /// cover.
  Expected<void> push(Item&& item, std::uint32_t rows, Lane lane) {
    if (!credits_.fits_grant(rows, lane)) {
      return unexpected(Errc::out_of_range,
                        "work of " + std::to_string(rows) +
                            " rows exceeds the peer's whole grant; split it into smaller frames");
    }
    if (size() >= limits_.items_max || rows_ + rows > limits_.rows_max) {
      return unexpected(Errc::overloaded,
                        "the queue toward a peer is full: " + std::to_string(size()) + " items, " +
                            std::to_string(rows_) + " rows; try again later");
    }
    lanes_[index(lane)].push_back({std::move(item), rows, lane});
    rows_ += rows;
    return {};
  }

  /// The next item whose credits could be reserved; they are. Prefill waits while decode waits,
  /// even where it would fit: it must not take what decode is waiting for.
  std::optional<Taken> pop() {
    for (auto& lane : lanes_) {
      if (lane.empty()) continue;
      if (!credits_.reserve(lane.front().rows, lane.front().lane)) return std::nullopt;
      Taken taken = std::move(lane.front());
      lane.pop_front();
      rows_ -= taken.rows;
      return taken;
    }
    return std::nullopt;
  }

  /// Puts back, at the front, what `pop` gave and the link refused; its credits are returned.
  void put_back(Taken&& taken) {
    const auto released = credits_.release(taken.rows, taken.lane);
    TROUPE_CHECK(released.has_value(), "put_back of an item that pop did not give");
    rows_ += taken.rows;
    lanes_[index(taken.lane)].push_front(std::move(taken));
  }

  /// Takes out every item for which `gone(item)` holds, cancelled or expired, and hands it to
  /// `drop`.
  template <class Gone, class Drop>
  void remove_if(Gone gone, Drop drop) {
    for (auto& lane : lanes_) {
      std::deque<Taken> kept;
      for (auto& waiting : lane) {
        if (!gone(std::as_const(waiting.item))) {
          kept.push_back(std::move(waiting));
          continue;
        }
        rows_ -= waiting.rows;
        drop(std::move(waiting.item));
      }
      lane = std::move(kept);
    }
  }

  std::size_t size() const { return lanes_[0].size() + lanes_[1].size(); }
  bool empty() const { return size() == 0; }
  std::size_t rows() const { return rows_; }

 private:
  static std::size_t index(Lane lane) { return static_cast<std::size_t>(lane); }
  CreditAccount& credits_;
  Limits limits_;
  std::deque<Taken> lanes_[proto::kLanes];  // [lane]: decode first
  std::size_t rows_ = 0;
};

}  // namespace troupe::transport
