// Streams one answer to standard output and says on stderr how it went.
#pragma once
#include <string>

#include "actors/request.hpp"
#include "services/cli/answer_source.hpp"
#include "services/runtime/progress.hpp"

namespace troupe::services {

enum class Ending {
  complete,     // the model stopped or reached max_tokens
  interrupted,  // Ctrl-C; what came before is printed
  reader_gone,  // nobody reads stdout any more
  failed,       // `answer.error`, or stdout could not be written
};

struct PrintedAnswer {
  Ending ending = Ending::complete;
  Answer answer;
  std::string text;  // all that was printed, without the newline
};

/// Writes the pieces of `source` as they come and a newline at the end. Ctrl-C and a closed stdout
/// cancel it; it has ended when this returns. With `ProgressStyle::bar` a prompt that takes long
/// shows a bar, which goes before the first token comes; then, if stdout is a terminal, too, its
/// last row shows the speed until the answer ends.
PrintedAnswer print_answer(AnswerSource& source, ProgressStyle style);

/// "41 tokens, TTFT 0.21 s, 38 tok/s"
std::string usage_line(const actors::Usage& usage);

}  // namespace troupe::services
