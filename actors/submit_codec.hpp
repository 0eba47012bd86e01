// A request as a Submit frame says it, and back: the two ends must mean the same.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "actors/attention/batch_scheduler.hpp"
#include "actors/request.hpp"
#include "core/expected.hpp"
#include "proto/frames/codec.hpp"

namespace troupe::actors {

/// What a gateway sends for one attempt of a request. Owns what the frame's views look at.
class SubmitBody {
 public:
  /// `tokens`: the prompt, then what earlier attempts generated.
  SubmitBody(const GenerateRequest& request, RequestId id, std::span<const std::int32_t> tokens);
  SubmitBody(const SubmitBody&) = delete;
  const proto::Submit& body() const { return body_; }
  /// *Errors*: `invalid_argument` when a frame cannot carry the request.
  Expected<void> check() const;

 private:
  std::string name_;
  std::vector<std::int32_t> tokens_;
  std::vector<proto::LogitBias> bias_;
  std::vector<std::int32_t> stop_ids_;
  std::vector<std::int32_t> allowed_ids_;
  std::vector<std::int32_t> bad_words_;
  std::string grammar_text_;
  proto::Submit body_;
};

/// The request of a decoded Submit frame. The deadline counts from `now`.
SequenceRequest read_submit(const proto::FrameHeader& header, const proto::Submit& submit,
                            GatewayIndex gateway, TimePoint now);

/// The wire's name of a finish reason and back; `error` for `none`.
proto::Finish wire_finish(FinishReason reason);
FinishReason read_finish(proto::Finish finish);

}  // namespace troupe::actors
