// Describes a cast in its state file and tells one cast from another.
#include "model/checkpoint/cast_state.hpp"

#include <chrono>

#include "model/checkpoint/files.hpp"
#include "model/checkpoint/output_file.hpp"
#include "model/config/json_value.hpp"

namespace troupe::model {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kState = ".troupe-cast.json";
constexpr std::string_view kRevision = "cast_from_revision";
constexpr std::string_view kFormat = "to";
constexpr std::string_view kFiles = "files";
constexpr std::uint64_t kStateBytesMax = 16 << 20;

Unexpected io_error(std::string_view action, const fs::path& path, const std::error_code& error,
                    std::string_view next) {
  return unexpected(Errc::io,
                    os_error(action, path, error.value()).detail + "; " + std::string(next));
}

Unexpected refused(const fs::path& out, const std::string& why) {
  return unexpected(Errc::invalid_argument, out.string() + " " + why);
}

/// How many entries `dir` has, as far as two.
Expected<int> count_entries(const fs::path& dir) {
  std::error_code error;
  int count = 0;
  fs::directory_iterator it(dir, error);
  for (; !error && it != fs::directory_iterator() && count < 2; it.increment(error)) ++count;
  if (error) return io_error("read", dir, error, "make it readable or name another directory");
  return count;
}

std::string text_of(const JsonValue& state, std::string_view key) {
  const JsonValue* value = state.find(key);
  return value != nullptr && value->string() != nullptr ? *value->string() : "unknown";
}

/// In what the cast that `found` tells of differs from the cast of `state`.
std::string difference(const std::string& found, const std::string& state) {
  const std::string next = "; name another directory, or empty this one to begin anew";
  const Expected<JsonValue> other = parse_json(found);
  const Expected<JsonValue> asked = parse_json(state);
  if (!other || !asked) return "has a damaged " + std::string(kState) + next;
  const auto differs = [&](std::string_view key) {
    return text_of(*other, key) != text_of(*asked, key);
  };
  if (differs(kRevision))
    return "holds the cast of another model (revision " + text_of(*other, kRevision) +
           ", that of the input is " + text_of(*asked, kRevision) + ")" + next;
  if (differs(kFormat))
    return "holds the cast to another format (" + text_of(*other, kFormat) + " instead of " +
           text_of(*asked, kFormat) + ")" + next;
  return "holds the cast of other weight files: those of the input have another size or time of "
         "last change than when the cast began" +
         next;
}

}  // namespace

Expected<std::string> cast_state(const Checkpoint& checkpoint, const std::string& format) {
  JsonValue::Object files;
  for (const std::string& name : checkpoint.file_names()) {
    const fs::path path = checkpoint.directory() / name;
    std::error_code error;
    const std::uintmax_t bytes = fs::file_size(path, error);
    const auto changed = error ? fs::file_time_type() : fs::last_write_time(path, error);
    if (error) return io_error("look at", path, error, "make the input readable");
    const std::int64_t ns = std::chrono::nanoseconds(changed.time_since_epoch()).count();
    JsonValue::Array numbers{{static_cast<std::int64_t>(bytes)}, {ns}};
    files.push_back({name, {std::move(numbers)}});
  }
  return to_json(JsonValue{JsonValue::Object{{std::string(kRevision), {checkpoint.revision()}},
                                             {std::string(kFormat), {format}},
                                             {std::string(kFiles), {std::move(files)}}}}) +
         "\n";
}

Expected<fs::file_type> file_type_of(const fs::path& path) {
  std::error_code error;
  const fs::file_type type = fs::status(path, error).type();
  if (type != fs::file_type::none) return type;
  return io_error("look at", path, error, "make its folder readable or name another directory");
}

Expected<void> prepare_cast_output(const fs::path& out, const std::string& state) {
  std::error_code error;
  fs::create_directories(out, error);
  const Expected<fs::file_type> type = file_type_of(out);
  if (!type) return unexpected(type.error());
  // Whatever the system's reason is, it is the output's place that does not do.
  if (*type == fs::file_type::not_found)
    return io_error("create", out, error, "name another directory");
  if (*type != fs::file_type::directory) return refused(out, "is not a directory");
  const Expected<int> entries = count_entries(out);
  if (!entries) return unexpected(entries.error());
  if (*entries == 0) return write_file(out / kState, state);
  const Expected<std::string> found = read_text_file(out / kState, kStateBytesMax);
  if (found && *found == state) return {};
  if (found) return refused(out, difference(*found, state));
  // A first call that was cut off while it wrote the state left nothing else.
  const Expected<fs::file_type> begun = file_type_of(out / (std::string(kState) + ".partial"));
  if (!begun) return unexpected(begun.error());
  if (*entries == 1 && *begun != fs::file_type::not_found) return write_file(out / kState, state);
  return refused(out,
                 "exists, is not empty and holds no cast that could be continued; name another "
                 "directory");
}

}  // namespace troupe::model
