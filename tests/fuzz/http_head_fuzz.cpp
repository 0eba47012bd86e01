// Any bytes on a connection of the HTTP port: read within bounds, the same requests however the
// bytes are cut, and none whose end two servers could see at different places.
#include <algorithm>
#include <cctype>
#include <charconv>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/check.hpp"
#include "services/gateway/http/connection_stream.hpp"
#include "services/gateway/http/request_head.hpp"
#include "tests/fuzz/fuzz_target.hpp"

using namespace troupe::services;

namespace {

/// A peer that sends these bytes in pieces and hangs up.
class PlayedWire final : public http::Wire {
 public:
  PlayedWire(std::string_view bytes, std::size_t piece)
      : Wire(Descriptor()), bytes_(bytes), piece_(piece) {}

  Moved read(char* to, std::size_t bytes) override {
    const std::size_t moved = std::min({bytes, piece_, bytes_.size() - played_});
    bytes_.copy(to, moved, played_);
    played_ += moved;
    return {static_cast<ssize_t>(moved), 0};
  }
  Moved write(const char* from, std::size_t bytes) override {
    reply_.append(from, bytes);
    return {static_cast<ssize_t>(bytes), 0};
  }
  void end() override {}

  std::string_view taken() const { return bytes_.substr(0, played_); }
  const std::string& reply() const { return reply_; }

 private:
  const std::string_view bytes_;
  const std::size_t piece_;
  std::size_t played_ = 0;
  std::string reply_;
};

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

/// How often headers say how long the body is, read as the most lenient server would: with white
/// space anywhere, and -1 for a line that goes on with the one before it.
int framing_lines(std::string_view head) {
  constexpr std::string_view kWhite = " \t\r\v\f";
  int lines = 0;
  for (head.remove_prefix(head.find('\n') + 1); !head.empty();) {
    const std::string_view line = head.substr(0, head.find('\n'));
    head.remove_prefix(std::min(line.size() + 1, head.size()));
    const auto first = line.find_first_not_of(kWhite);
    if (first == std::string_view::npos) continue;
    if (first > 0) return -1;
    const std::string_view name = line.substr(0, line.find(':'));
    const std::string known = lower(name.substr(0, name.find_last_not_of(kWhite) + 1));
    lines += known == "content-length" || known == "transfer-encoding";
  }
  return lines;
}

/// What a strict server reads: nothing for what is no chunked body with nothing behind it.
std::optional<std::string> strictly_unchunked(std::string_view rest) {
  std::string body;
  while (true) {
    const std::string_view line = rest.substr(0, rest.find("\r\n"));
    if (line.size() == rest.size()) return std::nullopt;
    rest.remove_prefix(line.size() + 2);
    std::size_t size = 0;
    const char* end = line.data() + line.size();
    const auto parsed = std::from_chars(line.data(), end, size, 16);
    const auto extension = std::string_view(parsed.ptr, end).find_first_not_of(" \t");
    const bool extended =
        extension != std::string_view::npos && parsed.ptr[static_cast<long>(extension)] == ';';
    if (parsed.ec != std::errc{} || (parsed.ptr != end && !extended)) return std::nullopt;
    if (size == 0) return rest == "\r\n" ? std::optional(body) : std::nullopt;
    if (rest.size() < size || !rest.substr(size).starts_with("\r\n")) return std::nullopt;
    body += rest.substr(0, size);
    rest.remove_prefix(size + 2);
  }
}

/// The library as the gateway's server drives it, with answers that say what was understood.
class Library final : public httplib::Server {
 public:
  Library() {
    set_error_handler([this](const httplib::Request&, httplib::Response& response) {
      last_ = true;
      response.set_content("refused", "text/plain");
    });
    set_expect_100_continue_handler([this](const httplib::Request&, httplib::Response& response) {
      return framing_.refused ? response.status = framing_.refused->status : 100;
    });
    set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
      log_ += request.method + " " + request.path + " " + std::to_string(framing_.bytes) + "\n";
      if (!framing_.refused && request.method == "POST") return HandlerResponse::Unhandled;
      TROUPE_CHECK(!framing_.refused || !framing_.refused->message.empty(), log_);
      if (framing_.refused) response.status = framing_.refused->status;
      last_ = last_ || framing_.present;
      response.set_content("early", "text/plain");
      return HandlerResponse::Handled;
    });
    Post(".*", [this](const httplib::Request&, httplib::Response& response,
                      const httplib::ContentReader& content) { read_body(content, response); });
  }

  /// What was understood of all requests on the connection, and all replies.
  std::string serve(std::string_view bytes, std::size_t piece,
                    const http::ConnectionLimits& limits) {
    auto owned = std::make_unique<PlayedWire>(bytes, piece);
    PlayedWire& wire = *owned;
    http::ConnectionStream stream(std::move(owned), {}, limits);
    // Byte by byte nothing is read ahead: what has been played is what was understood.
    played_ = piece == 1 ? &wire : nullptr;
    limits_ = limits;
    log_.clear();
    last_ = false;
    std::size_t requests = 0;
    for (bool again = true; again;) {
      TROUPE_CHECK(++requests <= bytes.size() + 1, "requests of no bytes");
      const bool sent = serve_one(stream);
      const bool fine = stream.failure() == http::ConnectionStream::Failure::none;
      again = sent && fine && !last_;
    }
    stream.discard_rest();
    return log_ + "\n" + wire.reply();
  }

 private:
  bool serve_one(http::ConnectionStream& stream) {
    const std::size_t begin = played_ ? played_->taken().size() : 0;
    stream.begin_request();
    framing_ = {};
    bool closed = false;
    try {
      const bool sent = process_request(stream, last_, closed, [&](httplib::Request& request) {
        request.ranges.clear();
        framing_ = http::check_framing(stream.head(), limits_.body_bytes_max);
        if (played_) {
          const std::string_view head = played_->taken().substr(begin);
          TROUPE_CHECK(head == stream.head(), head);
          check_head(head, request);
          body_begin_ = begin + head.size();
        }
        stream.begin_body(framing_.chunked);
      });
      return sent && !closed;
    } catch (const std::exception& trouble) {
      log_ += std::string("threw ") + trouble.what();
      return false;
    }
  }

  /// What goes on as a request has one end for everybody, the library among them.
  void check_head(std::string_view head, const httplib::Request& request) const {
    TROUPE_CHECK(head.size() <= limits_.header_bytes_max, head);
    if (framing_.refused) return;
    const int lines = framing_lines(head);
    TROUPE_CHECK(lines == 0 || lines == 1, head);
    TROUPE_CHECK(lines == 1 || !framing_.present, head);
    TROUPE_CHECK(framing_.bytes <= limits_.body_bytes_max, head);
    TROUPE_CHECK(request.get_header_value<std::uint64_t>("Content-Length") == framing_.bytes, head);
    TROUPE_CHECK(request.has_header("Transfer-Encoding") == framing_.chunked, head);
  }

  void read_body(const httplib::ContentReader& content, httplib::Response& response) {
    std::string body;
    const bool whole = !framing_.present || content([&](const char* bytes, std::size_t count) {
      body.append(bytes, count);
      return body.size() <= limits_.body_bytes_max;
    });
    last_ = last_ || !whole;
    TROUPE_CHECK(!whole || body.size() <= limits_.body_bytes_max, log_);
    TROUPE_CHECK(!whole || framing_.chunked || body.size() == framing_.bytes, log_);
    if (played_ && whole && framing_.chunked) {
      const std::string_view raw = played_->taken().substr(body_begin_);
      TROUPE_CHECK(strictly_unchunked(raw) == body, raw);
    }
    log_ += whole ? "body " + body + "\n" : "no whole body\n";
    response.set_content(whole ? "whole" : "broken", "text/plain");
  }

  const PlayedWire* played_ = nullptr;
  std::size_t body_begin_ = 0;
  http::ConnectionLimits limits_;
  http::BodyFraming framing_;
  std::string log_;
  bool last_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Library library;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::string at_once = library.serve(bytes, size + 1, {});
  TROUPE_CHECK(library.serve(bytes, 1, {}) == at_once, at_once);
  http::ConnectionLimits tight;
  tight.header_bytes_max = 64;
  tight.body_bytes_max = 16;
  library.serve(bytes, 1, tight);
  return 0;
}

std::vector<std::string> fuzz_seeds() {
  return {
      "GET /readyz?verbose=1 HTTP/1.1\r\nHost: x\r\nX-Request-Id: a-1\r\n\r\n",
      "POST /v1/completions HTTP/1.1\r\nContent-Length: 4\r\n\r\n{\"a\"GET / HTTP/1.1\r\n\r\n",
      "POST /v1/chat/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3\r\nabc\r\na;x=y\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\nHEAD /livez HTTP/1.0\r\n\r\n",
      "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Type: application/json\r\n"
      "Content-Encoding: identity\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n{}",
      "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "POST / HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=b\r\nRange: bytes=1-2\r\n"
      "Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx",
      "QUERY /a%20b?c#d HTTP/1.1\r\nContent-Length : 1\r\n\r\n",
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      "POST / HTTP/1.1\r\nContent-Length: %31\r\n\r\nx",
      "POST / HTTP/1.1\r\nContent-Length:\r\n 1\r\n\r\nx",
      "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
      "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\nGET / HTTP/1.1\r\n\r\n",
  };
}
