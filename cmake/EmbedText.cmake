# Writes OUTPUT: a C++ file whose function openapi_document() gives the text of DOCUMENT.
file(READ ${DOCUMENT} text)
string(LENGTH "${text}" length)
# A string literal has a limit of the standard's making; pieces are joined by the compiler.
set(pieces "")
set(at 0)
while(at LESS length)
  string(SUBSTRING "${text}" ${at} 4000 piece)
  string(APPEND pieces "R\"~~~(${piece})~~~\"\n")
  math(EXPR at "${at} + 4000")
endwhile()
file(WRITE ${OUTPUT} "// Generated from ${DOCUMENT}.
#include \"services/gateway/http/openapi.hpp\"

namespace troupe::services::http {

std::string_view openapi_document() { return ${pieces}; }

}  // namespace troupe::services::http
")
