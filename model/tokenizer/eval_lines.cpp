// The JSON side of `troupe eval tokenizer`; nlohmann's exceptions end here.
#include "model/tokenizer/eval_lines.hpp"

#include <nlohmann/json.hpp>
#include <utility>

#include "model/config/json_error_text.hpp"
#include "model/tokenizer/detokenizer.hpp"

namespace troupe::model {
namespace {

using Json = nlohmann::ordered_json;
using Ids = std::vector<std::int32_t>;

constexpr int kDepthMax =
    64;  // as other files of a model; nlohmann prints level by level on the stack

Unexpected bad_line(std::string detail) {
  return unexpected(Errc::invalid_argument, std::move(detail));
}

Json decode_steps(const Tokenizer& tokenizer, const Ids& ids) {
  Detokenizer detokenizer(tokenizer);
  Json steps = Json::array();
  std::string text;
  for (const std::int32_t id : ids) {
    steps.push_back(detokenizer.push(id));
    text += steps.back().get_ref<const std::string&>();
  }
  const std::string tail = detokenizer.finish();
  return {{"ids", ids}, {"text", text + tail}, {"steps", std::move(steps)}, {"tail", tail}};
}

Expected<Json> answer_text(const Tokenizer& tokenizer, const Json& question) {
  const Json& text = question["text"];
  if (!text.is_string()) return bad_line("\"text\" is not a string");
  const auto special = question.find("special");
  if (special != question.end() && !special->is_boolean()) {
    return bad_line("\"special\" is not true or false");
  }
  const bool recognize = special == question.end() || special->get<bool>();
  const auto ids = tokenizer.encode(text.get_ref<const std::string&>(), {recognize});
  if (!ids) return unexpected(ids.error());
  return decode_steps(tokenizer, *ids);
}

Expected<Json> answer_ids(const Tokenizer& tokenizer, const Json& question) {
  const Json& entries = question["ids"];
  if (!entries.is_array()) return bad_line("\"ids\" is not an array");
  Ids ids;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const Json& id = entries[i];
    if (!id.is_number_integer() || id < 0 || id >= tokenizer.size() ||
        !tokenizer.text_of(id.get<std::int32_t>())) {
      return bad_line("ids[" + std::to_string(i) + "] = " + id.dump() +
                      " is no token of this tokenizer, whose ids end at " +
                      std::to_string(tokenizer.size() - 1));
    }
    ids.push_back(id.get<std::int32_t>());
  }
  return decode_steps(tokenizer, ids);
}

Expected<Json> answer_messages(const Tokenizer& tokenizer, const ChatRenderer& render,
                               std::string_view line) {
  if (!render) {
    return bad_line(
        "no chat template: neither chat_template.jinja nor tokenizer_config.json has one");
  }
  const auto rendered = render(line);
  if (!rendered) return unexpected(rendered.error());
  std::string text;
  std::vector<Segment> segments;
  for (const RenderedSegment& segment : *rendered) {
    text += segment.text;
    segments.push_back({segment.text, segment.trusted});
  }
  const auto ids = tokenizer.encode(text);
  if (!ids) return unexpected(ids.error());
  const auto served_ids = tokenizer.encode_segments(segments);
  if (!served_ids) return unexpected(served_ids.error());
  return Json{{"rendered", text}, {"ids", *ids}, {"served_ids", *served_ids}};
}

Expected<Json> answer(const Tokenizer& tokenizer, const ChatRenderer& render,
                      std::string_view line) {
  bool too_deep = false;
  const Json question =
      Json::parse(line.begin(), line.end(), [&](int above, Json::parse_event_t event, Json&) {
        const bool opens =
            event == Json::parse_event_t::object_start || event == Json::parse_event_t::array_start;
        too_deep |= opens && above >= kDepthMax;
        return !too_deep;
      });
  if (too_deep)
    return bad_line("the line is nested deeper than " + std::to_string(kDepthMax) + " levels");
  if (!question.is_object()) return bad_line("the line is not a JSON object");
  if (const auto messages = question.find("messages"); messages != question.end()) {
    if (!messages->is_array()) return bad_line("\"messages\" is not an array");
    return answer_messages(tokenizer, render, line);
  }
  if (question.contains("text")) return answer_text(tokenizer, question);
  if (question.contains("ids")) return answer_ids(tokenizer, question);
  return bad_line("the line has none of \"text\", \"ids\" and \"messages\"");
}

EvalAnswer as_line(const Json& json, bool ok) {
  return {json.dump(-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace), ok};
}

}  // namespace

EvalAnswer eval_tokenizer_line(const Tokenizer& tokenizer, const ChatRenderer& render,
                               std::string_view line) {
  try {
    const auto answered = answer(tokenizer, render, line);
    if (answered) return as_line(*answered, true);
    return as_line({{"error", answered.error().detail}}, false);
  } catch (const Json::parse_error& error) {
    return as_line({{"error", json_error_text(error.what(), error.byte)}}, false);
  } catch (const Json::exception& error) {
    return as_line({{"error", json_error_text(error.what(), line.size())}}, false);
  }
}

}  // namespace troupe::model
