// The OpenAPI document of the HTTP API, compiled in from openapi.json.
#pragma once
#include <string_view>

namespace troupe::services::http {

std::string_view openapi_document();

}  // namespace troupe::services::http
