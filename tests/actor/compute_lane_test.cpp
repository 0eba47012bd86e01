// Where the work of a loop runs: short work on the loop, long work on the pool, results in a drain.
#include "actors/compute_lane.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <thread>
#include <vector>

#include "actors/role.hpp"
#include "tests/support/actor_stage.hpp"

namespace troupe::actors {
namespace {

using namespace std::chrono_literals;

/// A pool whose jobs run when the test says so.
struct HeldPool {
  std::deque<ComputeLane::Work> jobs;
  ComputeLane::Submit submit() {
    return [this](ComputeLane::Work job) {
      jobs.push_back(std::move(job));
      return true;
    };
  }
  void run_all() {
    for (; !jobs.empty(); jobs.pop_front()) jobs.front()();
  }
};

struct Lane {
  HeldPool pool;
  transport::Doorbell bell;
  ComputeLane lane{pool.submit(), bell, 8};
  std::vector<int> told;
  ComputeLane::Work tell(int what) {
    return [this, what] { told.push_back(what); };
  }
};

TEST(ComputeLane, RunsShortWorkAtOnceAndTellsItInTheNextDrain) {
  Lane it;
  bool ran = false;
  it.lane.run_here([&] { ran = true; }, it.tell(1));
  EXPECT_TRUE(ran);
  EXPECT_TRUE(it.told.empty()) << "nobody is called back from within run_here";
  EXPECT_TRUE(it.lane.ran_here());
  EXPECT_FALSE(it.lane.idle());
  EXPECT_FALSE(it.lane.arm()) << "a loop with something to be told must not sleep";
  EXPECT_TRUE(it.lane.drain());
  EXPECT_EQ(it.told, std::vector{1});
  EXPECT_TRUE(it.lane.idle() && it.lane.arm());
  EXPECT_FALSE(it.lane.drain());
  EXPECT_TRUE(it.pool.jobs.empty());
}

TEST(ComputeLane, WorkRunFromADoneIsToldOneDrainLater) {
  Lane it;
  it.lane.run_here([] {},
                   [&] {
                     it.told.push_back(1);
                     it.lane.run_here([] {}, it.tell(2));
                   });
  EXPECT_TRUE(it.lane.drain());
  EXPECT_EQ(it.told, std::vector{1});
  EXPECT_TRUE(it.lane.drain());
  EXPECT_EQ(it.told, (std::vector{1, 2}));
}

TEST(ComputeLane, AbandonForgetsWhatRanHere) {
  Lane it;
  it.lane.run_here([] {}, it.tell(1));
  it.lane.abandon();
  EXPECT_FALSE(it.lane.drain());
  EXPECT_TRUE(it.told.empty());
}

TEST(ComputeLane, LoopsOfWorkRunHereStayOnTheLoop) {
  kernels::ComputePool pool({.threads = 2});
  Lane it;
  std::vector<std::thread::id> threads;  // unguarded: one thread writes
  it.lane.run_here(
      [&] {
        pool.parallel_for(1000, 1, [&](std::int64_t begin, std::int64_t end) {
          threads.insert(threads.end(), static_cast<std::size_t>(end - begin),
                         std::this_thread::get_id());
        });
      },
      {});
  EXPECT_EQ(threads, std::vector(1000, std::this_thread::get_id()));
}

/// A role that has nothing to do but what the test gives it, at the end of each pass.
class BusyRole : public Role {
 public:
  explicit BusyRole(const RoleContext& context) : Role(context) {}
  ~BusyRole() override { stop(); }
  std::deque<std::int64_t> sizes;  // in multiply-adds
  int begun = 0;
  int told = 0;

 private:
  void on_joined(PeerId) override {}
  void on_frame(PeerId, transport::ReceivedFrame&&) override {}
  void on_lost(PeerId, const Error&) override {}
  std::optional<TimePoint> role_deadline() const override { return std::nullopt; }
  bool work() override {
    const bool busy = !sizes.empty();
    for (; !sizes.empty(); sizes.pop_front())
      run(
          sizes.front(), [this] { ++begun; }, [this] { ++told; });
    return busy;
  }
};

class ShortWork : public ::testing::Test {
 protected:
  std::unique_ptr<BusyRole> role(std::chrono::microseconds inline_us_max) {
    RoleContext context;
    context.wire = std::make_shared<LocalWire>();
    context.compute = pool.submit();
    context.inline_us_max = inline_us_max;
    return std::make_unique<BusyRole>(context);
  }
  HeldPool pool;
};

TEST_F(ShortWork, RunsOnTheLoopAndIsToldInTheSamePass) {
  const auto busy = role(200us);
  busy->sizes = {1000};
  EXPECT_TRUE(busy->poll(Clock::now()));
  EXPECT_EQ(busy->told, 1);
  EXPECT_TRUE(pool.jobs.empty());
}

TEST_F(ShortWork, LongWorkGoesToThePool) {
  const auto busy = role(200us);
  busy->sizes = {std::int64_t{7168} * 256};  // one row through the gate of V3
  busy->poll(Clock::now());
  EXPECT_EQ(busy->begun, 0);
  ASSERT_EQ(pool.jobs.size(), 1u);
  pool.run_all();
  busy->poll(Clock::now());
  EXPECT_EQ(busy->told, 1);
}

TEST_F(ShortWork, OnePassRunsNoMoreThanTheLimitTogether) {
  const auto busy = role(200us);
  busy->sizes = {200'000, 200'000, 200'000};  // a bit over 100 us each
  busy->poll(Clock::now());
  EXPECT_EQ(busy->begun, 1);
  EXPECT_EQ(pool.jobs.size(), 2u);
  busy->sizes = {200'000};
  busy->poll(Clock::now());
  EXPECT_EQ(busy->begun, 2) << "the next pass has its own limit";
  pool.run_all();
}

TEST_F(ShortWork, ALimitOfZeroSendsEverythingToThePool) {
  const auto busy = role(0us);
  busy->sizes = {1};
  busy->poll(Clock::now());
  EXPECT_EQ(busy->begun, 0);
  EXPECT_EQ(pool.jobs.size(), 1u);
  pool.run_all();
}

TEST(ShortWorkOfAStage, ChangesNoBit) {
  std::vector<std::shared_ptr<testing::Recorder>> heard;
  for (const auto limit : {0us, 200us}) {
    testing::StageOptions options;
    options.experts = 2;
    options.inline_us_max = limit;
    testing::Stage stage{options};
    heard.push_back(stage.submit(testing::greedy(testing::counting_prompt(40), 10)));
    ASSERT_TRUE(stage.run(heard.back()));
  }
  EXPECT_EQ(heard[0]->tokens, heard[1]->tokens);
  EXPECT_EQ(heard[0]->logprob_bits, heard[1]->logprob_bits);
}

}  // namespace
}  // namespace troupe::actors
