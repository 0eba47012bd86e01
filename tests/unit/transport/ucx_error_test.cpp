// Every status of UCX as an error.
#include "transport/ucx/ucx_error.hpp"

#include <gtest/gtest.h>

#include <string>

namespace troupe::transport {
namespace {

TEST(UcxError, EveryStatusHasAKindAndKeepsUcxsText) {
  for (int value = UCS_ERR_LAST; value <= UCS_OK; ++value) {
    const auto status = static_cast<ucs_status_t>(value);
    const Error error = ucx_error("here", status);
    EXPECT_NE(error.detail.find("here"), std::string::npos);
    EXPECT_EQ(error.code == Errc::ok, status == UCS_OK) << value;
  }
  EXPECT_EQ(ucx_error("", UCS_ERR_ENDPOINT_TIMEOUT).code, Errc::unavailable);
  EXPECT_EQ(ucx_error("", UCS_ERR_CONNECTION_RESET).code, Errc::unavailable);
  EXPECT_EQ(ucx_error("", UCS_ERR_NO_RESOURCE).code, Errc::overloaded);
  EXPECT_EQ(ucx_error("", UCS_ERR_CANCELED).code, Errc::cancelled);
}

}  // namespace
}  // namespace troupe::transport
