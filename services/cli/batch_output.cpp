// O_APPEND writes, a lock, and the repair of a torn end.
#include "services/cli/batch_output.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <utility>

#include "model/checkpoint/files.hpp"
#include "model/config/json_value.hpp"

namespace troupe::services {
namespace {

constexpr std::chrono::seconds kSyncEvery{1};
constexpr std::string_view kIdPrefix = "batch_req_";

struct Known {
  std::uint64_t line = 0;
  std::array<std::uint64_t, 2> custom_id{};
  bool failed = false;
};

/// What an output line says, or nothing if it is none.
std::optional<Known> read_answer(const std::string& text) {
  const auto json = model::parse_json(text);
  if (!json) return std::nullopt;
  const auto* id = json->find("id");
  const auto* response = json->find("response");
  if (id == nullptr || id->string() == nullptr || response == nullptr) return std::nullopt;
  if (!id->string()->starts_with(kIdPrefix)) return std::nullopt;
  Known known;
  const std::string number = id->string()->substr(kIdPrefix.size());
  const auto [end, error] =
      std::from_chars(number.data(), number.data() + number.size(), known.line);
  if (error != std::errc{} || end != number.data() + number.size()) return std::nullopt;
  const auto* custom_id = json->find("custom_id");
  if (custom_id != nullptr && custom_id->string() != nullptr) {
    known.custom_id = custom_id_digest(*custom_id->string());
  }
  const auto* status = response->find("status_code");
  known.failed = status == nullptr || status->integer().value_or(0) != 200;
  return known;
}

bool belongs(const Known& known, std::span<const BatchLineId> batch) {
  const auto found =
      std::lower_bound(batch.begin(), batch.end(), known.line,
                       [](const BatchLineId& id, std::uint64_t line) { return id.number < line; });
  return found != batch.end() && found->number == known.line && found->custom_id == known.custom_id;
}

}  // namespace

std::string BatchAnswer::to_line() const {
  const auto quoted_or_null = [](const std::string& text) {
    return text.empty() ? std::string("null") : model::quote_json(text);
  };
  std::string out = "{\"id\":\"" + std::string(kIdPrefix) + std::to_string(line) +
                    "\",\"custom_id\":" + quoted_or_null(custom_id) + ",\"response\":";
  if (status == 0) {
    out += "null,\"error\":{\"code\":" + model::quote_json(error_code) +
           ",\"message\":" + model::quote_json(error_message) + "}}";
  } else {
    out += "{\"status_code\":" + std::to_string(status) +
           ",\"request_id\":" + quoted_or_null(request_id) + ",\"body\":" + body_json +
           "},\"error\":null}";
  }
  return out + "\n";
}

Expected<BatchOutput> BatchOutput::open(const std::filesystem::path& file,
                                        std::span<const BatchLineId> batch) {
  const int descriptor = ::open(file.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (descriptor < 0) return unexpected(model::os_error("write", file, errno));
  BatchOutput output(descriptor, file);
  if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    return unexpected(Errc::unavailable, file.string() +
                                             " is being written by another batch. Wait for it, or "
                                             "name another file");
  }
  if (const auto read = output.read_answers(batch); !read) return unexpected(read.error());
  return output;
}

BatchOutput::BatchOutput(BatchOutput&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      file_(std::move(other.file_)),
      answered_(std::move(other.answered_)),
      failed_before_(other.failed_before_),
      repaired_(other.repaired_),
      synced_(other.synced_) {}

BatchOutput::~BatchOutput() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Expected<void> BatchOutput::read_answers(std::span<const BatchLineId> batch) {
  std::ifstream in(file_, std::ios::binary);
  std::string text;
  std::uint64_t number = 0;
  ::off_t whole = 0;  // bytes of whole lines
  while (std::getline(in, text)) {
    ++number;
    if (in.eof()) break;  // no newline: torn
    const auto known = read_answer(text);
    if (!known || !belongs(*known, batch)) {
      return unexpected(Errc::malformed, file_.string() + " line " + std::to_string(number) +
                                             " is no answer of this batch. Name another file for "
                                             "the answers, or the batch that it belongs to");
    }
    answered_.push_back(known->line);
    failed_before_ += known->failed ? 1U : 0U;
    whole += static_cast<::off_t>(text.size() + 1);
  }
  std::sort(answered_.begin(), answered_.end());
  const ::off_t size = ::lseek(descriptor_, 0, SEEK_END);
  repaired_ = size > whole;
  if (repaired_ && ::ftruncate(descriptor_, whole) != 0)
    return unexpected(model::os_error("write", file_, errno));
  return {};
}

Expected<void> BatchOutput::append(const BatchAnswer& answer) {
  const std::string text = answer.to_line();
  std::string_view rest = text;
  while (!rest.empty()) {
    const ::ssize_t written = ::write(descriptor_, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return unexpected(model::os_error("write", file_, errno));
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
  if (std::chrono::steady_clock::now() - synced_ < kSyncEvery) return {};
  return sync();
}

Expected<void> BatchOutput::sync() {
  synced_ = std::chrono::steady_clock::now();
  if (::fdatasync(descriptor_) == 0 || errno == EINVAL || errno == EROFS) return {};
  return unexpected(
      model::os_error("write", file_, errno));  // EINVAL: a pipe or the like, which has no disk
}

}  // namespace troupe::services
