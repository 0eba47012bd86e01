// An engine whose answers are played by tests, and a reader that counts what it is told.
#pragma once
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "actors/request_engine.hpp"
#include "services/gateway/answer_stream.hpp"

namespace troupe::services {

/// Keeps what it is asked; tests play its answers.
class FakeEngine final : public actors::RequestEngine {
 public:
  Expected<actors::RequestId> submit(actors::GenerateRequest request,
                                     std::shared_ptr<actors::RequestListener> listener) override {
    if (refusal.code != Errc::ok) return unexpected(refusal);
    asked = std::move(request);
    listeners.push_back(listener);
    if (at_once) at_once(*listener);
    return 7;
  }
  void cancel(actors::RequestId request) override { cancelled.push_back(request); }
  actors::Readiness readiness() const override { return now; }
  std::uint64_t numerics_id() const override { return 0; }

  Error refusal{Errc::ok, ""};
  actors::Readiness now;
  std::function<void(actors::RequestListener&)> at_once;  // before submit returns
  actors::GenerateRequest asked;
  std::vector<std::shared_ptr<actors::RequestListener>> listeners;  // in order of submit
  std::vector<actors::RequestId> cancelled;
};

class CountingReader final : public AnswerReader {
 public:
  void on_events() override { ++told; }
  int told = 0;
};

}  // namespace troupe::services
