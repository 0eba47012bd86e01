// Checks of headers that cpp-httplib takes as they come.
#include "services/gateway/http/request_head.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <string_view>

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

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

BodyFraming refuse(int status, std::string detail) {
  return {true, 0, refusal(status, std::move(detail))};
}

}  // namespace

BodyFraming check_framing(const httplib::Request& request, std::size_t body_bytes_max) {
  for (const auto& [name, value] : request.headers) {
    if (!is_token(name)) return refuse(400, "a header's name has a character that none may have");
  }
  const std::size_t lengths = request.get_header_value_count("Content-Length");
  const std::size_t codings = request.get_header_value_count("Transfer-Encoding");
  if (lengths + codings > 1)
    return refuse(400, "there is more than one of Content-Length and Transfer-Encoding. Send one");
  BodyFraming framing;
  if (codings == 1) {
    if (lower(request.get_header_value("Transfer-Encoding")) != "chunked")
      return refuse(400, "Transfer-Encoding takes chunked only");
    framing.present = true;
  }
  if (lengths == 1) {
    const std::string text = request.get_header_value("Content-Length");
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), framing.bytes);
    if (parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size())
      return refuse(400, "Content-Length takes a number of bytes");
    framing.present = framing.bytes > 0;
  }
  if (framing.bytes > body_bytes_max)
    return refuse(413, "the body has " + std::to_string(framing.bytes) + " bytes and may have " +
                           std::to_string(body_bytes_max) + ". Send less at once");
  const std::string encoding = lower(request.get_header_value("Content-Encoding"));
  if (!encoding.empty() && encoding != "identity")
    return refuse(415, "the body is compressed. Send plain JSON");
  if (lower(request.get_header_value("Content-Type")).starts_with("multipart/"))
    return refuse(415, "the body is multipart. Send JSON as application/json");
  return framing;
}

std::optional<std::string> path_of_unknown_method(const httplib::Request& request) {
  // The library takes the path last: it has none when it did not like what stands before it.
  const bool version = request.version == "HTTP/1.1" || request.version == "HTTP/1.0";
  if (!request.path.empty() || !version || !is_token(request.method)) return std::nullopt;
  if (!request.target.starts_with('/')) return std::nullopt;
  return request.target.substr(0, request.target.find_first_of("?#"));
}

}  // namespace troupe::services::http
