// Tokenizing and prompts over HTTP: what a client can look up without an answer being generated.
#pragma once
#include <string>
#include <vector>

#include "services/gateway/api_error.hpp"
#include "services/gateway/http/json_tree.hpp"
#include "services/gateway/served_model.hpp"

namespace troupe::services::http {

/// The text of a JSON reply; `ignored` gets the paths of members without effect.
using TextAnswer = Answered<std::string>;
TextAnswer tokenize(const ServedModel& model, const JsonValue::Object& body,
                    std::vector<std::string>& ignored);
TextAnswer detokenize(const ServedModel& model, const JsonValue::Object& body,
                      std::vector<std::string>& ignored);
TextAnswer apply_template(const ServedModel& model, const JsonValue::Object& body,
                          std::vector<std::string>& ignored);

/// One entry of /v1/models. `created`: seconds since 1970.
JsonValue describe(const ServedModel& model, std::int64_t created);
/// /props: what llama-server's clients ask for.
std::string props(const ServedModel& model);

}  // namespace troupe::services::http
