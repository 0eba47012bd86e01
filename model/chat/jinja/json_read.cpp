// JSON to template values, event by event, so that nesting is bounded before it is built.
#include "model/chat/jinja/json_read.hpp"

#include <limits>
#include <nlohmann/json.hpp>

#include "model/config/json_error_text.hpp"

namespace troupe::model::jinja {
namespace {

class Builder : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit Builder(std::uint32_t nesting_max) : nesting_max_(nesting_max) {}

  bool null() override { return add(Value(Value::Data(None{}), false)); }
  bool boolean(bool value) override { return add(Value(Value::Data(value), false)); }
  bool number_integer(number_integer_t value) override {
    return add(Value(Value::Data(std::int64_t{value}), false));
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (value > static_cast<number_unsigned_t>(std::numeric_limits<std::int64_t>::max())) {
      return reject(Errc::unsupported, "integer " + std::to_string(value) + " is beyond 64 bits");
    }
    return add(Value(Value::Data(static_cast<std::int64_t>(value)), false));
  }
  bool number_float(number_float_t value, const string_t& digits) override {
    if (digits.find_first_of(".eE") == std::string::npos) {
      return reject(Errc::unsupported, "integer " + digits + " is beyond 64 bits");
    }
    return add(Value(Value::Data(value), false));
  }
  bool string(string_t& value) override {
    return add(Value::string(Text(std::move(value), false)));
  }
  bool binary(binary_t&) override { return reject(Errc::malformed, "binary value"); }
  bool start_object(std::size_t) override { return open(true); }
  bool start_array(std::size_t) override { return open(false); }
  bool key(string_t& value) override {
    open_.back().key = Value::string(Text(std::move(value), false));
    return true;
  }
  bool end_object() override {
    auto dict = std::make_shared<const Dict>(std::move(open_.back().dict));
    open_.pop_back();
    return add(Value(Value::Data(std::move(dict)), false));
  }
  bool end_array() override {
    auto list = std::make_shared<Sequence>(std::move(open_.back().list));
    open_.pop_back();
    return add(Value(Value::Data(std::move(list)), false));
  }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    return reject(Errc::malformed, json_error_text(error.what(), position));
  }

  Value root;
  Error error{Errc::ok, {}};

 private:
  struct Level {
    bool is_dict;
    Dict dict;
    Sequence list;
    Value key;
  };

  bool reject(Errc code, std::string what) {
    error = {code, "JSON of the chat request: " + std::move(what)};
    return false;
  }

  bool open(bool is_dict) {
    if (open_.size() >= nesting_max_) {
      return reject(Errc::resource_exhausted,
                    "nested more than " + std::to_string(nesting_max_) + " deep");
    }
    open_.push_back({is_dict, {}, {}, {}});
    return true;
  }

  bool add(Value value) {
    if (open_.empty()) {
      root = std::move(value);
      return true;
    }
    Level& level = open_.back();
    if (level.is_dict) {
      level.dict.set(level.key, std::move(value));
    } else {
      level.list.depth = std::max(level.list.depth, depth_of(value) + 1);
      level.list.items.push_back(std::move(value));
    }
    return true;
  }

  std::uint32_t nesting_max_;
  std::vector<Level> open_;
};

}  // namespace

Expected<Value> read_json(std::string_view json, std::uint32_t nesting_max) {
  Builder builder(nesting_max);
  if (!nlohmann::json::sax_parse(json.begin(), json.end(), &builder)) {
    if (builder.error.code == Errc::ok) builder.error = {Errc::malformed, "not JSON"};
    return unexpected(std::move(builder.error));
  }
  return std::move(builder.root);
}

}  // namespace troupe::model::jinja
