// The pages that the gateway serves: files of this binary, and the headers that go with them.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace troupe::services {

/// One file of services/web/page, as it was when the program was built.
struct PageFile {
  std::string_view name;  // "main.js"
  std::string_view text;
  std::string_view etag;  // with its quotes; changes with the text
};

/// All of them, by name.
std::span<const PageFile> page_files();

/// The file at a path of the public port: "/" is the chat page, "/cluster" the cluster page,
/// "/web/NAME" what belongs to them. Null: there is none.
const PageFile* find_page_file(std::string_view path);

/// "text/javascript; charset=utf-8", by the end of the name.
std::string_view content_type(const PageFile& file);

/// Whether a client that sent this If-None-Match has the file already.
bool is_current(const PageFile& file, std::string_view if_none_match);

/// What every answer with a page's file carries, Content-Type apart. Scripts and styles come from
/// this server only and never from the page's own text; no other host is asked for anything; no
/// string becomes HTML.
std::span<const std::pair<const char*, const char*>> page_headers();

}  // namespace troupe::services
