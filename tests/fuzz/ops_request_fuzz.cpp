// Any bytes at the ops port: a request is complete once and for all, and then reads the same
// however many bytes follow.
#include <algorithm>
#include <string>
#include <string_view>

#include "core/check.hpp"
#include "services/runtime/ops/http_request.hpp"
#include "tests/fuzz/fuzz_target.hpp"

using namespace troupe::services;

namespace {

bool same(const std::optional<HttpRequest>& a, const std::optional<HttpRequest>& b) {
  if (!a || !b) return a.has_value() == b.has_value();
  return a->method == b->method && a->path == b->path && a->query == b->query;
}

void check(const HttpRequest& request, std::string_view bytes) {
  TROUPE_CHECK(!request.method.empty() && request.path.starts_with('/'), bytes);
  TROUPE_CHECK(request.path.find_first_of(" ?\n") == std::string::npos, bytes);
  TROUPE_CHECK(request.query.find_first_of(" \n") == std::string::npos, bytes);
  TROUPE_CHECK(bytes.starts_with(request.method + " " + request.path), bytes);
  const std::string name = request.query.substr(0, request.query.find_first_of("=&"));
  const bool named = !request.query.empty() && request.query.front() != '&';
  TROUPE_CHECK(!named || request.has_parameter(name), bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  // As the port reads: whatever has come so far is looked at again, within a bound.
  std::size_t whole = 0;
  while (whole < size && !is_complete(bytes.substr(0, whole))) ++whole;
  const auto request = parse_request(bytes.substr(0, whole));
  if (request) check(*request, bytes);
  if (!is_complete(bytes.substr(0, whole))) return 0;
  TROUPE_CHECK(is_complete(bytes), bytes);
  TROUPE_CHECK(same(request, parse_request(bytes)), bytes);
  return 0;
}

std::vector<std::string> fuzz_seeds() {
  return {"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: text/plain\r\n\r\n",
          "HEAD /readyz?a=1&verbose&=&b HTTP/1.0\n\n", "POST /livez HTTP/1.1\r\n\r\nbody",
          "GET / HTTP/2.0\r\n\r\n", "\x16\x03\x01\x02\n"};
}
