// Members of a JSON object by name and type, with what is wrong, not served or unknown collected.
#pragma once
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "services/gateway/api_error.hpp"
#include "services/gateway/http/json_tree.hpp"

namespace troupe::services::http {

/// What reading a body brought up; paths are JSON paths: "messages[0].content".
struct Findings {
  std::vector<FieldViolation> wrong;
  struct NotServed {
    std::string path;
    std::string when;  // which of its values: "above 1"; empty: any
  };
  std::vector<NotServed> not_served;
  std::vector<std::string> ignored;
  static constexpr std::size_t kMax = 16;  // of each; more would not help

  void add_not_served(std::string path, std::string when = "");
  /// The error that ends the request, if one does.
  std::optional<ApiError> error() const;
};

/// Reads one object. A member that is null counts as absent, as OpenAI's clients send it.
/// *Threading*: one thread; object and findings must outlive it.
class FieldReader {
 public:
  FieldReader(const JsonValue::Object& object, std::string prefix, Findings& findings);

  const JsonValue* any(std::string_view key);
  std::optional<std::string> text(std::string_view key);
  std::optional<bool> boolean(std::string_view key);
  std::optional<float> number(std::string_view key);
  std::optional<std::int32_t> whole(std::string_view key);
  /// Any 64 bits: a negative number is taken as its two's complement.
  std::optional<std::uint64_t> seed(std::string_view key);
  const JsonValue::Array* array(std::string_view key);
  const JsonValue::Object* object(std::string_view key);
  std::vector<std::int32_t> ids(std::string_view key);
  /// A string or an array of strings.
  std::vector<std::string> texts(std::string_view key);

  /// Present, whatever its value: not served.
  void refuse(std::string_view key);
  /// Present with another value than `fine`: not served.
  void refuse_unless(std::string_view key, const JsonValue& fine);
  /// Present: it has no effect here, and is told to be ignored.
  void ignore(std::string_view key);
  /// All members that nobody has asked for are ignored.
  void ignore_rest();

  void fail(std::string_view key, std::string description);
  std::string path(std::string_view key) const { return prefix_ + std::string(key); }

 private:
  const JsonValue* typed(std::string_view key, bool (*fits)(const JsonValue&), const char* takes);

  const JsonValue::Object& object_;
  const std::string prefix_;
  Findings& findings_;
  std::set<std::string, std::less<>> known_;
};

/// "a string", "an array", ...
std::string type_name(const JsonValue& value);

/// Ids of an array. `path` names it in `findings`.
std::vector<std::int32_t> read_ids(const JsonValue::Array& array, const std::string& path,
                                   Findings& findings);

}  // namespace troupe::services::http
