// Rows and columns, keys and values.
#include "services/cli/cluster_text.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <vector>

#include "model/config/json_value.hpp"
#include "model/numerics.hpp"

namespace troupe::services {
namespace {

using Row = std::vector<std::string>;

std::string fixed(double value, const char* format) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), format, value);
  return text.data();
}

std::string seconds(std::chrono::microseconds time) {
  return fixed(std::chrono::duration<double>(time).count(), "%.1f s");
}

bool is_expert(const actors::MemberReport& member) {
  return actors::role_of(member.entry.peer) == proto::Role::expert;
}

std::string experts_text(const actors::MemberReport& member) {
  if (!is_expert(member)) return "-";
  // Built piece by piece: GCC 12 misreads a sum of strings here.
  std::string text = std::to_string(member.experts.first);
  text += "..";
  text += std::to_string(member.experts.last - 1);
  return text;
}

Row row_of(const actors::MemberReport& member) {
  return {std::string(to_string(actors::role_of(member.entry.peer))),
          std::to_string(actors::index_of(member.entry.peer)),
          std::string(to_string(member.entry.state)),
          fixed(100.0 * member.last_beat.load_progress, "%.0f%%"),
          experts_text(member),
          std::to_string(member.last_beat.queued_rows),
          seconds(std::chrono::microseconds(member.last_beat.oldest_work_us)),
          seconds(member.silent),
          std::to_string(member.pid),
          member.ops_address.empty() ? "-" : member.ops_address,
          member.host};
}

std::string aligned(const std::vector<Row>& rows) {
  std::vector<std::size_t> widths(rows.front().size(), 0);
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const Row& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      line.append(widths[i] + 2 - row[i].size(), ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line;
    text += '\n';
  }
  return text;
}

/// Members of a JSON object, one after the other.
class JsonObject {
 public:
  JsonObject& text(const char* key, std::string_view value) {
    return raw(key, model::quote_json(value));
  }
  template <class Number>
  JsonObject& number(const char* key, Number value) {
    return raw(key, std::to_string(value));
  }
  JsonObject& raw(const char* key, const std::string& value) {
    json_ += json_.size() > 1 ? ", " : "";
    json_ += model::quote_json(key);
    json_ += ": ";
    json_ += value;
    return *this;
  }
  std::string done() const { return json_ + "}"; }

 private:
  std::string json_ = "{";
};

std::string member_json(const actors::MemberReport& member) {
  JsonObject json;
  json.text("role", to_string(actors::role_of(member.entry.peer)))
      .number("index", actors::index_of(member.entry.peer))
      .text("state", to_string(member.entry.state))
      .raw("load_progress", fixed(member.last_beat.load_progress, "%.3f"))
      .number("progress", member.last_beat.progress)
      .number("oldest_work_us", member.last_beat.oldest_work_us)
      .number("queued_rows", member.last_beat.queued_rows)
      .number("silent_ms", member.silent.count());
  if (is_expert(member)) {
    JsonObject range;
    range.number("begin", member.experts.first).number("end", member.experts.last);
    json.raw("experts", range.done());
  }
  return json.text("host", member.host)
      .number("pid", member.pid)
      .text("version", member.version)
      .text("ops_address", member.ops_address)
      .done();
}

}  // namespace

bool healthy(const actors::ClusterReport& report) {
  return report.serving && std::all_of(report.members.begin(), report.members.end(),
                                       [](const actors::MemberReport& member) {
                                         return member.entry.state == actors::MemberState::active;
                                       });
}

std::string cluster_table(const actors::ClusterReport& report) {
  std::string text = report.serving ? "serving" : "not serving";
  text += ", epoch " + std::to_string(report.epoch);
  text += ", term " + std::to_string(report.term);
  text += ", " + std::to_string(report.expert_ranks) + " expert ranks";
  text += ", " + model::fingerprint(report.numerics_id);
  text += "\n\n";
  std::vector<Row> rows{{"ROLE", "INDEX", "STATE", "LOADED", "EXPERTS", "QUEUED", "OLDEST",
                         "SILENT", "PID", "OPS", "HOST"}};
  for (const auto& member : report.members) rows.push_back(row_of(member));
  text += aligned(rows);
  return text;
}

std::string cluster_json(const actors::ClusterReport& report) {
  std::string members;
  for (const auto& member : report.members) {
    members += members.empty() ? "\n  " : ",\n  ";
    members += member_json(member);
  }
  JsonObject json;
  json.raw("serving", report.serving ? "true" : "false")
      .raw("healthy", healthy(report) ? "true" : "false")
      .number("term", report.term)
      .number("epoch", report.epoch)
      .text("system_fingerprint", model::fingerprint(report.numerics_id))
      .number("expert_ranks", report.expert_ranks)
      .raw("members", "[" + members + "]");
  return json.done() + "\n";
}

}  // namespace troupe::services
