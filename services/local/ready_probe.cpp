// One HTTP request.
#include "services/local/ready_probe.hpp"

#include <httplib.h>

namespace troupe::services {

bool is_ready(std::uint16_t ops_port) {
  httplib::Client client("127.0.0.1", ops_port);
  client.set_connection_timeout(1);
  client.set_read_timeout(1);
  const auto answer = client.Get("/readyz");
  return answer && answer->status == 200;
}

}  // namespace troupe::services
