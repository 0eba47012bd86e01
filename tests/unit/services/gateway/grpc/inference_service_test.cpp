// Calls that end early: while their form waits to be compiled, or before their answer is read.
#include "services/gateway/grpc/inference_service.hpp"

#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>
#include <troupe/inference/v1/inference.grpc.pb.h>

#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <new>

#include "tests/support/failing_new.hpp"
#include "tests/unit/services/gateway/fake_engine.hpp"
#include "tests/unit/services/gateway/tiny_model.hpp"

namespace troupe::services {
namespace {

namespace v1 = ::troupe::inference::v1;
using namespace std::chrono_literals;

/// Things that come from other threads, in order.
template <class T>
class Inbox {
 public:
  void put(T one) {
    const std::lock_guard lock(mutex_);
    all_.push_back(std::move(one));
    changed_.notify_all();
  }
  std::optional<T> take_if_any() {
    const std::lock_guard lock(mutex_);
    if (all_.empty()) return std::nullopt;
    T one = std::move(all_.front());
    all_.pop_front();
    return one;
  }
  /// The next one.
  T take() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, patience_, [this] { return !all_.empty(); })) {
      patience_ = {};  // for those that follow
      ADD_FAILURE() << "nothing came";
      return T{};
    }
    T one = std::move(all_.front());
    all_.pop_front();
    return one;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<T> all_;
  std::chrono::seconds patience_{60};  // longer than anything here takes
};

class InferenceServiceTest : public ::testing::Test {
 protected:
  using Call = std::future<grpc::Status>;
  enum class Rpc { whole, streamed };
  static constexpr Rpc kBoth[] = {Rpc::whole, Rpc::streamed};

  void SetUp() override {
    engine_.at_once = [](actors::RequestListener& listener) {
      listener.on_finished(actors::FinishReason::stop, {Errc::ok, ""}, {});
    };
    auto server = ListeningServer::start(
        {.listen = {"127.0.0.1", 0}},
        {make_inference_service(state_, {{}, [this](std::function<void()> job) {
                                           if (!takes_jobs_) return false;
                                           jobs_.put(std::move(job));
                                           return true;
                                         }})});
    ASSERT_TRUE(server) << server.error().detail;
    server_ = *std::move(server);
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);  // 64 KiB may be under way to who does not read
    channel_ = grpc::CreateCustomChannel(server_->address(), grpc::InsecureChannelCredentials(),
                                         arguments);
    stub_ = v1::InferenceService::NewStub(channel_);
  }

  static v1::GenerateRequest with_form(const std::string& regex) {
    v1::GenerateRequest request;
    request.set_text("Hi");
    request.mutable_response_format()->set_regex(regex);
    return request;
  }
  Call whole(grpc::ClientContext& context, v1::GenerateRequest request) {
    return std::async(std::launch::async, [this, &context, request = std::move(request)]() mutable {
      v1::GenerateUnaryRequest asked;
      *asked.mutable_request() = std::move(request);
      v1::GenerateUnaryResponse response;
      return stub_->GenerateUnary(&context, asked, &response);
    });
  }
  Call streamed(grpc::ClientContext& context, v1::GenerateRequest request) {
    return std::async(std::launch::async, [this, &context, request = std::move(request)] {
      const auto answer = stub_->Generate(&context, request);
      v1::GenerateResponse response;
      while (answer->Read(&response)) continue;
      return answer->Finish();
    });
  }
  Call start(Rpc rpc, grpc::ClientContext& context, v1::GenerateRequest request) {
    return rpc == Rpc::whole ? whole(context, std::move(request))
                             : streamed(context, std::move(request));
  }
  /// Asks for a whole answer as for a stream of one message: it is read when it is asked for.
  std::unique_ptr<grpc::ClientReader<v1::GenerateUnaryResponse>> whole_to_read(
      grpc::ClientContext& context, const v1::GenerateRequest& request) {
    using Method = grpc::internal::RpcMethod;
    const Method method("/troupe.inference.v1.InferenceService/GenerateUnary",
                        Method::SERVER_STREAMING, channel_);
    v1::GenerateUnaryRequest asked;
    *asked.mutable_request() = request;
    using Readers = grpc::internal::ClientReaderFactory<v1::GenerateUnaryResponse>;
    return std::unique_ptr<grpc::ClientReader<v1::GenerateUnaryResponse>>(
        Readers::Create(channel_.get(), method, &context, asked));
  }
  grpc::Status tokenize() {
    grpc::ClientContext context;
    v1::TokenizeRequest request;
    request.set_text("Hi");
    v1::TokenizeResponse response;
    return stub_->Tokenize(&context, request, &response);
  }

  GatewayHooks hooks() {
    GatewayHooks hooks;
    hooks.on_call_end = [this](const CallRecord& record) {
      if (std::string_view(record.api) != "grpc_tokenize") codes_.put(record.code);
    };
    return hooks;
  }

  FakeEngine engine_;
  Inbox<std::string> codes_;  // of calls that generate, as the server ends them
  GatewayState state_{tiny_served(), engine_, hooks(), GatewayState::Rules{}};
  Inbox<std::function<void()>> jobs_;
  bool takes_jobs_ = true;
  std::unique_ptr<ListeningServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::InferenceService::Stub> stub_;
};

TEST_F(InferenceServiceTest, NoCallWaitsForTheFormsOfOthers) {
  constexpr int kCalls = 64;  // more than gRPC has threads
  std::deque<grpc::ClientContext> contexts(2 * kCalls);
  std::vector<Call> calls;
  std::vector<std::function<void()>> jobs;
  for (int i = 0; i < kCalls; ++i) {
    calls.push_back(whole(contexts[2 * i], with_form("a{" + std::to_string(i) + "}b")));
    calls.push_back(streamed(contexts[2 * i + 1], with_form("a{" + std::to_string(i) + "}c")));
  }
  for (int i = 0; i < 2 * kCalls; ++i) jobs.push_back(jobs_.take());
  EXPECT_EQ(engine_.listeners.size(), 0u) << "an answer without its form";

  EXPECT_TRUE(tokenize().ok());
  grpc::ClientContext context;
  v1::GenerateRequest free_form;
  free_form.set_text("Hi");
  EXPECT_TRUE(streamed(context, free_form).get().ok());
  EXPECT_EQ(engine_.listeners.size(), 1u);

  for (const auto& job : jobs) {
    if (job) job();
  }
  for (Call& call : calls) EXPECT_TRUE(call.get().ok());
  EXPECT_EQ(engine_.listeners.size(), 1u + 2 * kCalls);
}

TEST_F(InferenceServiceTest, WhoGoesWhileItsFormWaitsIsNotAnswered) {
  for (const Rpc rpc : kBoth) {
    const std::size_t before = engine_.listeners.size();
    engine_.at_once = nullptr;  // what is asked stays open
    grpc::ClientContext context;
    Call call = start(rpc, context, with_form("a+"));
    auto job = jobs_.take();
    context.TryCancel();
    EXPECT_EQ(call.get().error_code(), grpc::StatusCode::CANCELLED);
    for (int i = 0; i < 20; ++i) EXPECT_TRUE(tokenize().ok());  // the server has heard of it
    std::exchange(job, nullptr)();  // it keeps the call as long as it is there
    EXPECT_EQ(codes_.take(), "CANCELLED");
    EXPECT_EQ(engine_.listeners.size() - before, engine_.cancelled.size());
    engine_.cancelled.clear();
  }
}

TEST_F(InferenceServiceTest, ADeadlinePassesWhileAFormWaits) {
  engine_.at_once = nullptr;  // by the server's clock there may be some time left
  for (const Rpc rpc : kBoth) {
    bool waited = false;  // else the call did not come as far as its form in time
    for (auto budget = 100ms; !waited; budget *= 2) {
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() + budget);
      Call call = start(rpc, context, with_form("a+"));
      EXPECT_EQ(call.get().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
      for (int i = 0; i < 20; ++i) EXPECT_TRUE(tokenize().ok());  // the server has heard of it
      while (auto job = jobs_.take_if_any()) {
        (*job)();
        job.reset();  // it keeps the call
        EXPECT_EQ(codes_.take(), "DEADLINE_EXCEEDED");
        waited = true;
      }
    }
    EXPECT_EQ(engine_.listeners.size(), engine_.cancelled.size());
  }
}

TEST_F(InferenceServiceTest, WithoutAThreadForItsFormACallComesTooEarly) {
  takes_jobs_ = false;
  for (const Rpc rpc : kBoth) {
    grpc::ClientContext context;
    EXPECT_EQ(start(rpc, context, with_form("a+")).get().error_code(),
              grpc::StatusCode::RESOURCE_EXHAUSTED);
    EXPECT_EQ(codes_.take(), "RESOURCE_EXHAUSTED");
  }
  EXPECT_TRUE(tokenize().ok());
}

TEST_F(InferenceServiceTest, AnExceptionAtItsStartEndsACallAndFreesItsKey) {
  engine_.at_once = [](actors::RequestListener&) { throw std::runtime_error("a bug"); };
  for (const Rpc rpc : kBoth)
    for (const bool formed : {false, true}) {
      v1::GenerateRequest request = with_form("a+");
      if (!formed) request.clear_response_format();
      grpc::ClientContext context;
      context.AddMetadata("idempotency-key", "k");
      Call call = start(rpc, context, std::move(request));
      if (formed) jobs_.take()();
      EXPECT_EQ(call.get().error_code(), grpc::StatusCode::INTERNAL);
      EXPECT_EQ(codes_.take(), "INTERNAL");
    }
}

TEST_F(InferenceServiceTest, AMessageThatCannotBeParsedForLackOfMemoryEndsItsCall) {
  const std::string text(4 << 20, 'a');  // gRPC's own pieces have 1 MiB
  for (const Rpc rpc : kBoth) {
    v1::GenerateRequest request;
    request.set_text(text);
    grpc::ClientContext context;
    const testing::NoMemoryFor none(2 << 20);
    EXPECT_EQ(start(rpc, context, std::move(request)).get().error_code(),
              grpc::StatusCode::RESOURCE_EXHAUSTED);
    EXPECT_EQ(codes_.take(), "RESOURCE_EXHAUSTED");
    EXPECT_GT(none.failures(), 0);
  }
  v1::TokenizeRequest request;
  request.set_text(text);
  v1::TokenizeResponse response;
  grpc::ClientContext context;
  const testing::NoMemoryFor none(2 << 20);
  EXPECT_EQ(stub_->Tokenize(&context, request, &response).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(tokenize().ok());
}

TEST_F(InferenceServiceTest, AnAnswerThatCannotBeWrittenForLackOfMemoryEndsItsCall) {
  const std::vector<actors::PromptLogprob> logprobs(1 << 16);
  const auto play = [&](actors::RequestListener& listener) {
    listener.on_prompt_logprobs(0, logprobs);  // more bytes than there are none for
    listener.on_finished(actors::FinishReason::stop, {Errc::ok, ""}, {});
  };
  v1::GenerateRequest request;
  request.set_text("Hi");
  for (const bool at_once : {true, false})
    for (const Rpc rpc : kBoth) {
      Inbox<actors::RequestListener*> asked;
      engine_.at_once = [&](actors::RequestListener& listener) {
        at_once ? play(listener) : asked.put(&listener);
      };
      const testing::NoMemoryFor none(1 << 18, 1 << 20);  // what holds them in a message
      grpc::ClientContext context;
      context.AddMetadata("idempotency-key", "k");
      Call call = start(rpc, context, request);
      if (!at_once) play(*asked.take());  // on this thread
      EXPECT_EQ(call.get().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
      EXPECT_EQ(codes_.take(), "RESOURCE_EXHAUSTED");
      EXPECT_GT(none.failures(), 0);
    }
}

TEST_F(InferenceServiceTest, WhoLeavesBeforeTheAnswerIsReadWasNotAnswered) {
  const std::vector<actors::PromptLogprob> more_than_is_under_way(1 << 16);
  engine_.at_once = [&](actors::RequestListener& listener) {
    listener.on_prompt_logprobs(0, more_than_is_under_way);
    listener.on_finished(actors::FinishReason::stop, {Errc::ok, ""}, {});
  };
  v1::GenerateRequest request;
  request.set_text("Hi");
  const auto leave = [this](grpc::ClientContext& context, auto reader) {
    reader->WaitForInitialMetadata();  // the answer is complete
    context.TryCancel();
    EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
    EXPECT_EQ(codes_.take(), "CANCELLED");
  };
  for (int i = 0; i < 2; ++i) {  // the second ones find the key free
    grpc::ClientContext of_stream;
    of_stream.AddMetadata("idempotency-key", "k");
    leave(of_stream, stub_->Generate(&of_stream, request));
    grpc::ClientContext of_whole;
    of_whole.AddMetadata("idempotency-key", "k");
    leave(of_whole, whole_to_read(of_whole, request));
  }
}

}  // namespace
}  // namespace troupe::services
