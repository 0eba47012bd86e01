// Strings that know the origin of every byte: written by the template, or taken from a request.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace troupe::model::jinja {

/// UTF-8 text in runs of equal origin. Offsets are bytes and lie on character boundaries.
/// Trusted bytes come from the template source or from the engine (bos_token); everything that
/// was part of a request is untrusted and must never be read as an added token.
class Text {
 public:
  struct Run {
    std::size_t end = 0;  // offset one past the run; runs cover the text in order
    bool trusted = false;
    friend bool operator==(const Run&, const Run&) = default;
  };

  Text() = default;
  Text(std::string bytes, bool trusted);

  const std::string& bytes() const { return bytes_; }
  const std::vector<Run>& runs() const { return runs_; }
  std::size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  /// True when no byte is untrusted; an empty text is trusted.
  bool trusted() const;

  void append(std::string_view bytes, bool trusted);
  void append(const Text& other) { append(other, 0, other.size()); }
  void append(const Text& other, std::size_t begin, std::size_t end);
  Text slice(std::size_t begin, std::size_t end) const;
  /// Walks the pieces of equal origin: `visit(std::string_view, bool trusted)`.
  template <class Visit>
  void for_each_run(Visit visit) const {
    std::size_t begin = 0;
    for (const Run& run : runs_) {
      visit(std::string_view(bytes_).substr(begin, run.end - begin), run.trusted);
      begin = run.end;
    }
  }

 private:
  std::string bytes_;
  std::vector<Run> runs_;
};

}  // namespace troupe::model::jinja
