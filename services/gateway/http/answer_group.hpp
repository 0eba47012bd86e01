// The answers of one call together: a thread waits here for their events, or for its client to go.
#pragma once
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "services/gateway/answer_stream.hpp"
#include "services/gateway/gateway_state.hpp"
#include "services/runtime/ops/listening_socket.hpp"

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

  struct Event {
    std::size_t answer = 0;  // in the order of start
    AnswerEvent event;
  };
  /// The next event of any answer; waits for it. Nothing: all have ended.
  std::optional<Event> next();
  /// Withdraws what is open: the client is gone.
  void cancel();

  std::size_t size() const { return streams_.size(); }
  /// How long events have waited for this thread, the most of all answers.
  std::chrono::nanoseconds waited() const;
  std::int64_t replay_mismatches() const;

 private:
  class Bell;
  void wait();

  GatewayState& state_;
  const AnswerStream::Limits limits_;
  const int socket_;
  std::shared_ptr<Bell> bell_;
  std::vector<std::shared_ptr<AnswerStream>> streams_;
  std::vector<bool> ended_;
  std::size_t turn_ = 0;  // whose event is looked for first: fair among answers
  bool cancelled_ = false;
};

}  // namespace troupe::services::http
