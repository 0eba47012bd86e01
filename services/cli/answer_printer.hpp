// Streams one answer to standard output and says on stderr how it went.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "actors/request.hpp"
#include "actors/request_engine.hpp"
#include "model/tokenizer/detokenizer.hpp"
#include "services/cli/answer_queue.hpp"

namespace troupe::services {

/// What tokens look like on stdout: text, or their ids with spaces between.
class TokenText {
 public:
  /// Without a tokenizer, ids. Special tokens and `hidden` ones (stop ids) show nothing as text.
  TokenText(const model::Tokenizer* tokenizer, std::vector<std::int32_t> hidden);
  std::string push(std::int32_t token);
  std::string finish();

 private:
  std::optional<model::Detokenizer> detokenizer_;
  std::vector<std::int32_t> hidden_;
  bool first_ = true;
};

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

/// Submits `request`, writes its tokens as they come and a newline at the end. Ctrl-C and a closed
/// stdout cancel the request; it has ended when this returns.
PrintedAnswer print_answer(actors::RequestEngine& cluster, actors::GenerateRequest request,
                           TokenText& tokens);

/// "41 tokens, TTFT 0.21 s, 38 tok/s"
std::string usage_line(const actors::Usage& usage);

}  // namespace troupe::services
