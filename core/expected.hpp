// Expected<T>: a value, or the Error that kept it from being made.
#pragma once
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "core/check.hpp"
#include "core/error.hpp"

namespace troupe {

/// Wraps an error for return from a function that returns `Expected`. Name as in C++23.
struct Unexpected {
  Error error;
};

[[nodiscard]] inline Unexpected unexpected(Errc code, std::string detail) {
  return {Error{code, std::move(detail)}};
}
[[nodiscard]] inline Unexpected unexpected(Error error) { return {std::move(error)}; }

/// `std::expected<T, Error>` with its member names; ours because CUDA's compiler stops at C++20.
/// Reading the absent alternative is a broken invariant and aborts.
template <class T>
class [[nodiscard]] Expected {
 public:
  using value_type = T;

  template <class U = T>
    requires std::is_constructible_v<T, U&&> &&
             (!std::is_same_v<std::remove_cvref_t<U>, Unexpected>) &&
             (!std::is_same_v<std::remove_cvref_t<U>, Expected>)
  Expected(U&& value) : state_(std::in_place_index<0>, std::forward<U>(value)) {}
  Expected(Unexpected failure) : state_(std::in_place_index<1>, std::move(failure.error)) {}

  bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }

  T& value() & { return *checked(); }
  const T& value() const& { return *const_cast<Expected*>(this)->checked(); }
  T&& value() && { return std::move(*checked()); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return checked(); }
  const T* operator->() const { return const_cast<Expected*>(this)->checked(); }
  template <class U>
  T value_or(U&& other) const& {
    return has_value() ? value() : static_cast<T>(std::forward<U>(other));
  }

  const Error& error() const& {
    TROUPE_CHECK(!has_value(), "error() of an Expected that holds a value");
    return std::get<1>(state_);
  }
  Error&& error() && {
    TROUPE_CHECK(!has_value(), "error() of an Expected that holds a value");
    return std::get<1>(std::move(state_));
  }

 private:
  T* checked() {
    if (!has_value()) detail::check_failed("has_value()", __FILE__, __LINE__, error().detail);
    return &std::get<0>(state_);
  }
  std::variant<T, Error> state_;
};

/// Success without a value, or an error.
template <>
class [[nodiscard]] Expected<void> {
 public:
  using value_type = void;
  Expected() = default;
  Expected(Unexpected failure) : error_(std::move(failure.error)) {}
  bool has_value() const { return !error_.has_value(); }
  explicit operator bool() const { return has_value(); }
  void value() const { TROUPE_CHECK(has_value(), error_->detail); }
  const Error& error() const& {
    TROUPE_CHECK(error_.has_value(), "error() of an Expected that succeeded");
    return *error_;
  }

 private:
  std::optional<Error> error_;
};

}  // namespace troupe
