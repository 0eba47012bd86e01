// Chunked bodies as RFC 9112 writes them pass, however they are cut; all others stop.
#include "services/gateway/http/chunk_watch.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace troupe::services::http {
namespace {

bool passes(std::string_view body, std::size_t piece) {
  ChunkWatch watch;
  bool fine = true;
  for (; !body.empty(); body.remove_prefix(std::min(piece, body.size())))
    fine = watch.take(body.substr(0, piece));
  return fine;
}

TEST(ChunkWatch, WellFormedBodiesPassHoweverTheyAreCut) {
  for (const std::string body :
       {"0\r\n\r\n", "3\r\nabc\r\n0\r\n\r\n", "00a;x=y\r\n0123456789\r\n1 \t;z\r\n\n\r\n0;\r\n\r\n",
        "Fffffffffffffff\r\nsome", "1\r\n\r"})
    for (const std::size_t piece : {std::size_t{1}, std::size_t{2}, std::size_t{100}})
      EXPECT_TRUE(passes(body, piece)) << body << " by " << piece;
}

TEST(ChunkWatch, WhatOtherServersReadDifferentlyStops) {
  for (const char* body :
       {"0x3\r\nabc\r\n", "+3\r\nabc\r\n", "-3\r\nabc\r\n", " 3\r\nabc\r\n", "3 abc\r\n",
        "3 \r\nabc", "3\nabc\r\n", "3;a\nb\r\n", "3\r\nabcd\r\n", "3\r\nabc\n", "\r\n", "zz\r\n",
        "10000000000000000\r\n", "0\r\nTrailer: t\r\n\r\n", "0\r\n\r\nGET"})
    for (const std::size_t piece : {std::size_t{1}, std::size_t{2}, std::size_t{100}})
      EXPECT_FALSE(passes(body, piece)) << body << " by " << piece;
}

TEST(ChunkWatch, StaysBroken) {
  ChunkWatch watch;
  EXPECT_FALSE(watch.take("x"));
  EXPECT_FALSE(watch.take("0\r\n\r\n"));
  EXPECT_FALSE(watch.take(""));
}

}  // namespace
}  // namespace troupe::services::http
