// Paths, types and headers of the page's files.
#include "services/web/page.hpp"

#include <algorithm>
#include <array>

namespace troupe::services {
namespace {

constexpr std::string_view kFolder = "/web/";

/// The values of a list "a", W/"b", without spaces around them.
bool list_has(std::string_view list, std::string_view etag) {
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    std::string_view one = list.substr(0, comma);
    list.remove_prefix(std::min(comma + 1, list.size()));
    one.remove_prefix(std::min(one.find_first_not_of(" \t"), one.size()));
    one = one.substr(0, one.find_last_not_of(" \t") + 1);
    if (one.starts_with("W/")) one.remove_prefix(2);
    if (one == "*" || one == etag) return true;
  }
  return false;
}

}  // namespace

const PageFile* find_page_file(std::string_view path) {
  std::string_view name = path;
  if (path == "/") {
    name = "index.html";
  } else if (path == "/cluster") {
    name = "cluster.html";
  } else if (path.starts_with(kFolder) && !path.ends_with(".html")) {
    name.remove_prefix(kFolder.size());
  } else {
    return nullptr;
  }
  const auto files = page_files();
  const auto found = std::find_if(files.begin(), files.end(),
                                  [&](const PageFile& file) { return file.name == name; });
  return found == files.end() ? nullptr : &*found;
}

std::string_view content_type(const PageFile& file) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kTypes{{
      {".html", "text/html; charset=utf-8"},
      {".css", "text/css; charset=utf-8"},
      {".js", "text/javascript; charset=utf-8"},
      {".svg", "image/svg+xml"},
  }};
  for (const auto& [end, type] : kTypes) {
    if (file.name.ends_with(end)) return type;
  }
  return "application/octet-stream";
}

bool is_current(const PageFile& file, std::string_view if_none_match) {
  return list_has(if_none_match, file.etag);
}

std::span<const std::pair<const char*, const char*>> page_headers() {
  static constexpr std::array<std::pair<const char*, const char*>, 5> kHeaders{{
      {"Content-Security-Policy",
       "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
       "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
       "require-trusted-types-for 'script'; trusted-types 'none'"},
      {"X-Content-Type-Options", "nosniff"},
      {"Referrer-Policy", "no-referrer"},
      {"Cross-Origin-Opener-Policy", "same-origin"},
      // Kept, and asked for each time: a new binary is seen at once.
      {"Cache-Control", "no-cache"},
  }};
  return kHeaders;
}

}  // namespace troupe::services
