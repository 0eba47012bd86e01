// One HTTP request.
#include "services/local/ready_probe.hpp"

#include <httplib.h>

namespace troupe::services {

bool is_ready(const Address& ops) {
  const bool any = ops.host == "0.0.0.0" || ops.host == "::";  // a listener's, not a caller's
  httplib::Client client(any ? "localhost" : ops.host, ops.port);
  client.set_connection_timeout(1);
  client.set_read_timeout(1);
  const auto answer = client.Get("/readyz");
  return answer && answer->status == 200;
}

}  // namespace troupe::services
