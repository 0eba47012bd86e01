// Several links of one loop: frames by peer, losses once, changes during a pass.
#include "transport/data_port.hpp"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "transport/inproc_link.hpp"

namespace troupe::transport {
namespace {

struct Star {
  Star() {
    for (PeerId peer : {1, 2}) connect(peer);
  }
  void connect(PeerId peer) {
    auto pair = make_inproc_pair(bell, peer_bell, pool);
    port.add(peer, std::move(pair.a));
    peers[peer] = std::move(pair.b);
  }
  OutgoingFrame frame(std::uint64_t work_id) {
    proto::FrameHeader header;
    header.work_id = work_id;
    return make_frame(pool, header, proto::Cancel{10});
  }
  bool pass() {
    return port.progress(
        [this](PeerId peer, ReceivedFrame&& f) { arrived.emplace_back(peer, f.header.work_id); },
        [this](PeerId peer, const LinkHealth& health) {
          lost.emplace_back(peer, health.error.code);
        });
  }

  Doorbell bell, peer_bell;
  BufferPool pool;
  std::unique_ptr<Link> peers[3];
  DataPort port;
  std::vector<std::pair<PeerId, std::uint64_t>> arrived;
  std::vector<std::pair<PeerId, Errc>> lost;
};

using Arrived = std::vector<std::pair<PeerId, std::uint64_t>>;
using Lost = std::vector<std::pair<PeerId, Errc>>;

TEST(DataPort, HandsOverFramesByPeer) {
  Star star;
  ASSERT_TRUE(star.peers[2]->send(star.frame(22)));
  ASSERT_TRUE(star.peers[1]->send(star.frame(11)));
  EXPECT_FALSE(star.port.arm());
  EXPECT_TRUE(star.pass());
  EXPECT_EQ(star.arrived, (Arrived{{1, 11}, {2, 22}}));
  EXPECT_FALSE(star.pass());
  EXPECT_TRUE(star.port.arm());
  EXPECT_TRUE(star.port.event_fds().empty()) << "in-process links ring the loop's bell";
}

TEST(DataPort, SendsToAPeerOrSaysThatThereIsNone) {
  Star star;
  ASSERT_TRUE(star.port.send(1, star.frame(5)));
  std::uint64_t got = 0;
  star.peers[1]->progress([&](ReceivedFrame&& f) { got = f.header.work_id; });
  EXPECT_EQ(got, 5u);
  EXPECT_EQ(star.port.send(9, star.frame(5)).error().code, Errc::unavailable);
}

TEST(DataPort, ReportsALossOnceAfterTheLastFrames) {
  Star star;
  ASSERT_TRUE(star.peers[1]->send(star.frame(7)));
  star.peers[1].reset();
  EXPECT_TRUE(star.pass());
  EXPECT_EQ(star.arrived, (Arrived{{1, 7}}));
  star.pass();
  star.pass();
  EXPECT_EQ(star.lost, (Lost{{1, Errc::unavailable}}));
  EXPECT_EQ(star.port.find(1), nullptr);
  EXPECT_EQ(star.port.size(), 1u);
}

TEST(DataPort, ARemovedPeerIsSilentFromThenOn) {
  Star star;
  ASSERT_TRUE(star.peers[1]->send(star.frame(1)));
  ASSERT_TRUE(star.peers[1]->send(star.frame(2)));
  star.port.progress(
      [&](PeerId peer, ReceivedFrame&& f) {
        star.arrived.emplace_back(peer, f.header.work_id);
        star.port.remove(peer);
      },
      [](PeerId, const LinkHealth&) { FAIL() << "removed is not lost"; });
  EXPECT_EQ(star.arrived, (Arrived{{1, 1}}));
  EXPECT_EQ(star.port.size(), 1u);
  EXPECT_EQ(star.peers[1]->health().state, LinkState::lost);
}

TEST(DataPort, ALostPeerMayBeReplacedAtOnce) {
  Star star;
  star.peers[1].reset();
  star.port.progress([](PeerId, ReceivedFrame&&) {},
                     [&](PeerId peer, const LinkHealth&) { star.connect(peer); });
  ASSERT_NE(star.port.find(1), nullptr);
  ASSERT_TRUE(star.peers[1]->send(star.frame(3)));
  star.pass();
  EXPECT_EQ(star.arrived, (Arrived{{1, 3}}));
}

TEST(DataPort, CompletionsOfARemovedLinkMayRemoveOthers) {
  Star star;
  Errc outcome = Errc::ok;
  ASSERT_TRUE(star.port.send(1, star.frame(1), [&](Errc e) {
    outcome = e;
    star.port.remove(2);
  }));
  star.port.remove(1);
  EXPECT_EQ(outcome, Errc::cancelled);
  EXPECT_EQ(star.port.size(), 0u);
}

TEST(DataPort, ClosesAll) {
  Star star;
  star.port.close_all(Link::CloseMode::flush);
  EXPECT_EQ(star.peers[1]->health().state, LinkState::lost);
  EXPECT_EQ(star.peers[2]->health().state, LinkState::lost);
}

}  // namespace
}  // namespace troupe::transport
