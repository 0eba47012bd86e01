// Values that lie one after another at any address: what frames are made from and read as.
#pragma once
#include <bit>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <span>
#include <type_traits>
#include <vector>

namespace troupe::proto {

static_assert(std::endian::native == std::endian::little, "frames are read and written in place");

/// A view of `size()` values of type T without any alignment: each read is a memcpy. Made from a
/// vector or span of T on the sending side and from frame bytes on the receiving side.
/// *Threading*: as the bytes it looks at, which must outlive it.
template <class T>
class PackedArray {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  PackedArray() = default;
  PackedArray(std::span<const T> values)
      : first_(reinterpret_cast<const std::byte*>(values.data())), count_(values.size()) {}
  PackedArray(const std::vector<T>& values) : PackedArray(std::span<const T>(values)) {}
  /// `count` values from `first` on.
  static PackedArray at(const std::byte* first, std::size_t count) {
    PackedArray array;
    array.first_ = first;
    array.count_ = count;
    return array;
  }

  std::size_t size() const { return count_; }
  bool empty() const { return count_ == 0; }
  std::span<const std::byte> bytes() const { return {first_, count_ * sizeof(T)}; }
  T operator[](std::size_t index) const {
    T value;
    std::memcpy(&value, first_ + index * sizeof(T), sizeof(T));
    return value;
  }
  std::vector<T> to_vector() const {
    std::vector<T> values(count_);
    if (count_ > 0) std::memcpy(values.data(), first_, count_ * sizeof(T));
    return values;
  }

  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = T;
    using difference_type = std::ptrdiff_t;
    using pointer = void;
    using reference = T;
    Iterator() = default;
    Iterator(const PackedArray* array, std::size_t index) : array_(array), index_(index) {}
    T operator*() const { return (*array_)[index_]; }
    Iterator& operator++() { return ++index_, *this; }
    Iterator operator++(int) { return {array_, index_++}; }
    friend bool operator==(const Iterator& a, const Iterator& b) { return a.index_ == b.index_; }

   private:
    const PackedArray* array_ = nullptr;
    std::size_t index_ = 0;
  };
  Iterator begin() const { return {this, 0}; }
  Iterator end() const { return {this, count_}; }

 private:
  const std::byte* first_ = nullptr;
  std::size_t count_ = 0;
};

}  // namespace troupe::proto
