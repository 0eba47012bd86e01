// Request lines apart, answers together.
#include "services/runtime/ops/http_request.hpp"

#include <algorithm>

namespace troupe::services {
namespace {

/// The first line without its end; nothing while it has not come whole.
std::optional<std::string_view> first_line(std::string_view bytes) {
  const auto end = bytes.find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  std::string_view line = bytes.substr(0, end);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

bool is_method(std::string_view word) {
  return !word.empty() &&
         std::all_of(word.begin(), word.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
}

std::optional<HttpRequest> parse_line(std::string_view line) {
  for (const std::string_view version : {" HTTP/1.1", " HTTP/1.0"}) {
    if (!line.ends_with(version)) continue;
    line.remove_suffix(version.size());
    const auto space = line.find(' ');
    if (space == std::string_view::npos) return std::nullopt;
    const std::string_view method = line.substr(0, space);
    std::string_view target = line.substr(space + 1);
    if (!is_method(method) || !target.starts_with('/') ||
        target.find(' ') != std::string_view::npos)
      return std::nullopt;
    const auto mark = std::min(target.find('?'), target.size());
    return HttpRequest{std::string(method), std::string(target.substr(0, mark)),
                       std::string(target.substr(std::min(mark + 1, target.size())))};
  }
  return std::nullopt;
}

std::string_view reason(int status) {
  switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    default: return "Service Unavailable";
  }
}

}  // namespace

bool HttpRequest::has_parameter(std::string_view name) const {
  std::string_view rest = query;
  while (!rest.empty()) {
    const std::string_view part = rest.substr(0, rest.find('&'));
    if (part.substr(0, part.find('=')) == name) return true;
    rest.remove_prefix(std::min(part.size() + 1, rest.size()));
  }
  return false;
}

bool is_complete(std::string_view bytes) {
  const auto line = first_line(bytes);
  if (!line) return false;
  return !parse_line(*line) || bytes.find("\r\n\r\n") != std::string_view::npos ||
         bytes.find("\n\n") != std::string_view::npos;
}

std::optional<HttpRequest> parse_request(std::string_view bytes) {
  const auto line = first_line(bytes);
  return line ? parse_line(*line) : std::nullopt;
}

std::string to_bytes(const HttpAnswer& answer, bool with_body) {
  std::string out = "HTTP/1.1 " + std::to_string(answer.status) + " ";
  out.append(reason(answer.status));
  out += "\r\nContent-Type: " + answer.type;
  out += "\r\nContent-Length: " + std::to_string(answer.body.size());
  out += "\r\nCache-Control: no-store\r\nConnection: close\r\n";
  if (answer.status == 405) out += "Allow: GET, HEAD\r\n";
  out += "\r\n";
  if (with_body) out += answer.body;
  return out;
}

}  // namespace troupe::services
