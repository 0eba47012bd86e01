// The answers of one call together: a thread waits here for their events, or for its client to go.
#pragma once
#include <memory>
#include <optional>
#include <utility>

#include "services/gateway/answer_set.hpp"
#include "services/runtime/ports/listening_socket.hpp"

namespace troupe::services::http {

/// Whatever is still open is withdrawn when it ends. *Threading*: one thread.
class AnswerGroup {
 public:
  /// `socket`: the client's; when it hangs up, all answers are withdrawn at once. -1: none.
  AnswerGroup(GatewayState& state, AnswerStream::Limits limits, int socket);
  AnswerGroup(const AnswerGroup&) = delete;
  ~AnswerGroup();

  /// Starts one more answer. Returns why it was not started.
  std::optional<ApiError> start(PlannedRequest plan);

  using Event = AnswerSet::Event;
  /// The next event of any answer; waits for it. Nothing: all have ended.
  std::optional<Event> next();
  /// Withdraws what is open: the client is gone.
  void cancel();

  const AnswerSet& answers() const { return answers_; }

 private:
  class Bell;
  void wait();

  AnswerSet answers_;
  const int socket_;
  std::shared_ptr<Bell> bell_;
  bool cancelled_ = false;
};

}  // namespace troupe::services::http
