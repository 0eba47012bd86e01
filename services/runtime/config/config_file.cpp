// Reading with yaml-cpp, which is included here only; its exceptions end here.
#include "services/runtime/config/config_file.hpp"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <vector>

#include "services/runtime/config/config_keys.hpp"
#include "services/runtime/suggest.hpp"

namespace troupe::services {
namespace {

constexpr std::size_t kFileBytesMax = 1 << 20;  // a configuration is a few kilobytes

int line_of(const YAML::Mark& mark) { return mark.line + 1; }

/// Where documents begin.
class DocumentMarks final : public YAML::EventHandler {
 public:
  /// Of at most three. At a bracket or comma that belongs to nothing, yaml-cpp finds one empty
  /// document after the other, without end, and YAML::LoadAll keeps them all.
  static std::vector<YAML::Mark> of(const std::string& text) {
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    DocumentMarks found;
    while (found.marks_.size() < 3 && parser.HandleNextDocument(found)) continue;
    return found.marks_;
  }

 private:
  void OnDocumentStart(const YAML::Mark& mark) override { marks_.push_back(mark); }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t,
                const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}

  std::vector<YAML::Mark> marks_;
};

class Reader {
 public:
  Reader(std::string name, FileValues& values) : name_(std::move(name)), values_(values) {}

  std::optional<ConfigProblem> read(const std::string& text) {
    if (const auto line = indented_by_tab(text)) {
      return problem(Fault::config_unreadable, *line, "a tab indents; YAML takes spaces only");
    }
    try {
      const std::vector<YAML::Mark> marks = DocumentMarks::of(text);
      for (std::size_t i = 1; i < marks.size(); ++i) {
        if (marks[i].pos == marks[i - 1].pos)
          return problem(Fault::config_unreadable, line_of(marks[i]),
                         "not YAML: a bracket or comma that belongs to nothing");
      }
      if (marks.size() > 1) {
        return problem(Fault::config_unreadable, line_of(marks[1]),
                       "a second document begins; one file is one configuration");
      }
      const YAML::Node document = YAML::Load(text);
      if (document.IsNull()) return std::nullopt;
      if (!document.IsMap()) {
        return problem(Fault::config_unreadable, line_of(document.Mark()),
                       "sections are wanted, as in `expert:` and below it `  rank: 0`");
      }
      return read_map(document, "");
    } catch (const YAML::Exception& error) {
      const int line = error.mark.is_null() ? 1 : line_of(error.mark);
      return problem(Fault::config_unreadable, line, "not YAML: " + error.msg);
    }
  }

 private:
  ConfigProblem problem(Fault fault, int line, const std::string& what) const {
    return {fault, name_ + ":" + std::to_string(line) + ": " + what};
  }

  static std::optional<int> indented_by_tab(const std::string& text) {
    std::istringstream lines(text);
    std::string line;
    for (int number = 1; std::getline(lines, line); ++number) {
      const std::size_t first = line.find_first_not_of(" \t\r");
      const std::size_t tab = line.find('\t');
      if (first != std::string::npos && line[first] != '#' && tab < first) return number;
    }
    return std::nullopt;
  }

  std::optional<ConfigProblem> read_map(const YAML::Node& map, const std::string& prefix) {
    for (const auto& entry : map) {
      if (!entry.first.IsScalar()) {
        return problem(Fault::config_unreadable, line_of(entry.first.Mark()),
                       "a key that is no text");
      }
      const std::string path = prefix + entry.first.Scalar();
      const int line = line_of(entry.first.Mark());
      auto failed = find_config_key(path) != nullptr ? read_value(path, line, entry.second)
                    : is_section(path)               ? read_section(path, line, entry.second)
                                                     : unknown(path, line, entry.second);
      if (failed) return failed;
    }
    return std::nullopt;
  }

  static bool is_section(const std::string& path) {
    for (const ConfigKey& key : config_keys()) {
      if (key.path.starts_with(path + ".")) return true;
    }
    return false;
  }

  std::optional<ConfigProblem> read_section(const std::string& path, int line,
                                            const YAML::Node& node) {
    if (node.IsNull()) return std::nullopt;
    if (node.IsMap()) return read_map(node, path + ".");
    return problem(Fault::config_bad_value, line,
                   "\"" + path + "\" is a section: its keys stand below it, indented");
  }

  std::optional<ConfigProblem> unknown(const std::string& path, int line, const YAML::Node& node) {
    // In a misspelt section the first of its keys tells more than the section alone.
    if (node.IsMap() && node.begin() != node.end() && node.begin()->first.IsScalar()) {
      const std::string inner = path + "." + node.begin()->first.Scalar();
      if (nearest_word(inner, config_paths())) return unknown_key(inner, line);
    }
    return unknown_key(path, line);
  }

  ConfigProblem unknown_key(const std::string& path, int line) const {
    return problem(Fault::config_unknown_key, line,
                   "unknown key \"" + path.substr(0, 80) + "\"" +
                       did_you_mean(path, config_paths()) +
                       " `troupe config print-defaults` lists all keys");
  }

  std::optional<ConfigProblem> read_value(const std::string& path, int line,
                                          const YAML::Node& node) {
    const ConfigKey& key = *find_config_key(path);
    if (const auto before = values_.find(path); before != values_.end()) {
      return problem(Fault::config_duplicate_key, line,
                     "\"" + path + "\" is given a second time; the first is on line " +
                         std::to_string(before->second.line));
    }
    FileValue value{"", line};
    if (node.IsScalar()) {
      value.text = node.Scalar();
    } else if (!node.IsSequence() || !key.is_list) {
      return wrong_shape(key, line, node);
    } else {
      for (const auto& element : node) {
        if (!element.IsScalar()) return wrong_shape(key, line_of(element.Mark()), element);
        value.text += (value.text.empty() ? "" : ",") + element.Scalar();
      }
    }
    ServiceConfig scratch;
    if (const auto taken = key.assign(scratch, value.text); !taken) {
      return problem(Fault::config_bad_value, line, "\"" + path + "\" " + taken.error().detail);
    }
    values_.emplace(path, std::move(value));
    return std::nullopt;
  }

  ConfigProblem wrong_shape(const ConfigKey& key, int line, const YAML::Node& node) const {
    const std::string found = node.IsNull()       ? "has no value"
                              : node.IsSequence() ? "is a list"
                                                  : "is a section";
    return problem(Fault::config_bad_value, line,
                   "\"" + key.path + "\" " + found + " and takes " + key.value +
                       (node.IsNull() ? ". Leave the key out for its default" : ""));
  }

  std::string name_;
  FileValues& values_;
};

}  // namespace

std::optional<ConfigProblem> parse_config_text(const std::string& name, const std::string& text,
                                               FileValues& values) {
  return Reader(name, values).read(text);
}

std::optional<ConfigProblem> read_config_file(const std::string& path, FileValues& values) {
  const auto unreadable = [&](const std::string& why) {
    return ConfigProblem{Fault::config_unreadable,
                         "cannot read the configuration file " + path + ": " + why};
  };
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) return unreadable(std::strerror(errno));
  std::string text(kFileBytesMax + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad() || (file.gcount() == 0 && errno != 0)) return unreadable(std::strerror(errno));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > kFileBytesMax) return unreadable("it is longer than 1 MiB");
  return parse_config_text(path, text, values);
}

}  // namespace troupe::services
