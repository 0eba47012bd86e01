// Checks of headers that cpp-httplib takes as they come, or leaves out.
#include "services/gateway/http/request_head.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <vector>

#include "core/expected.hpp"

namespace troupe::services::http {
namespace {

/// *Source*: RFC 9110, 5.6.2.
bool is_token(std::string_view text) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
           kMarks.find(c) != std::string_view::npos;
  });
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t";
  const auto first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) + 1 - first);
}

BodyFraming refuse(int status, std::string detail) {
  BodyFraming framing;
  framing.present = true;
  framing.refused = refusal(status, std::move(detail));
  return framing;
}

/// The values of the headers that say how a body is to be read, each as it was written.
struct BodyHeaders {
  std::vector<std::string_view> length, transfer, encoding, type;
};

/// The lines behind the request line, up to an empty one.
std::vector<std::string_view> header_lines(std::string_view head) {
  std::vector<std::string_view> lines;
  head.remove_prefix(std::min(head.find('\n') + 1, head.size()));
  while (!head.empty()) {
    std::string_view line = head.substr(0, head.find('\n'));
    head.remove_prefix(std::min(line.size() + 1, head.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) break;
    lines.push_back(line);
  }
  return lines;
}

/// *Errors*: `malformed` with what is wrong.
Expected<BodyHeaders> read_headers(std::string_view head) {
  BodyHeaders headers;
  for (const std::string_view line : header_lines(head)) {
    const auto colon = line.find(':');
    if (colon == std::string_view::npos)
      return unexpected(Errc::malformed, "a line of the headers has no colon");
    if (!is_token(line.substr(0, colon)))
      return unexpected(Errc::malformed, "a header's name has a character that none may have");
    const std::string_view value = trimmed(line.substr(colon + 1));
    if (value.find_first_of(std::string_view("\r\0", 2)) != std::string_view::npos)
      return unexpected(Errc::malformed, "a header's value has a character that none may have");
    const std::string name = lower(line.substr(0, colon));
    if (name == "content-length") headers.length.push_back(value);
    if (name == "transfer-encoding") headers.transfer.push_back(value);
    if (name == "content-encoding") headers.encoding.push_back(value);
    if (name == "content-type") headers.type.push_back(value);
  }
  return headers;
}

}  // namespace

BodyFraming check_framing(std::string_view head, std::size_t body_bytes_max) {
  const auto headers = read_headers(head);
  if (!headers) return refuse(400, headers.error().detail);
  if (headers->length.size() + headers->transfer.size() > 1)
    return refuse(400, "there is more than one of Content-Length and Transfer-Encoding. Send one");
  BodyFraming framing;
  if (!headers->transfer.empty()) {
    if (lower(headers->transfer.front()) != "chunked")
      return refuse(400, "Transfer-Encoding takes chunked only");
    framing.present = framing.chunked = true;
  }
  if (!headers->length.empty()) {
    const std::string_view text = headers->length.front();
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), framing.bytes);
    if (parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size())
      return refuse(400, "Content-Length takes a number of bytes");
    framing.present = framing.bytes > 0;
  }
  if (framing.bytes > body_bytes_max)
    return refuse(413, "the body has " + std::to_string(framing.bytes) + " bytes and may have " +
                           std::to_string(body_bytes_max) + ". Send less at once");
  for (const std::string_view encoding : headers->encoding) {
    if (!encoding.empty() && lower(encoding) != "identity")
      return refuse(415, "the body is compressed. Send plain JSON");
  }
  for (const std::string_view type : headers->type) {
    if (lower(type).starts_with("multipart/"))
      return refuse(415, "the body is multipart. Send JSON as application/json");
  }
  return framing;
}

std::vector<std::string> values_of(std::string_view head, std::string_view name) {
  std::vector<std::string> values;
  for (const std::string_view line : header_lines(head)) {
    const auto colon = line.find(':');
    if (colon != std::string_view::npos && lower(line.substr(0, colon)) == lower(name))
      values.emplace_back(trimmed(line.substr(colon + 1)));
  }
  return values;
}

std::optional<std::string> path_of_unknown_method(const httplib::Request& request) {
  // The library takes the path last: it has none when it did not like what stands before it.
  const bool version = request.version == "HTTP/1.1" || request.version == "HTTP/1.0";
  if (!request.path.empty() || !version || !is_token(request.method)) return std::nullopt;
  if (!request.target.starts_with('/')) return std::nullopt;
  return request.target.substr(0, request.target.find_first_of("?#"));
}

}  // namespace troupe::services::http
