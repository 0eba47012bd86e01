// Addresses and names of services as text.
#include "services/runtime/config/service_config.hpp"

#include "services/runtime/option_set.hpp"

namespace troupe::services {

std::string Address::text() const {
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Expected<Address> parse_address(std::string_view text) {
  const auto refuse = [&] {
    return unexpected(Errc::invalid_argument, "takes HOST:PORT as in 127.0.0.1:7400, not \"" +
                                                  std::string(text.substr(0, 80)) + "\"");
  };
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return refuse();
  std::string_view host = text.substr(0, colon);
  const auto port = parse_integer(text.substr(colon + 1));
  if (!port || *port < 0 || *port > 65535) return refuse();
  if (host.starts_with("[") && host.ends_with("]")) {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return refuse();  // a v6 address without brackets
  }
  const bool plain = host.find_first_of(" \t\"'/[]@") == std::string_view::npos;
  if (host.empty() || !plain) return refuse();
  return Address{std::string(host), static_cast<std::uint16_t>(*port)};
}

std::string_view to_string(ServiceRole role) {
  switch (role) {
    case ServiceRole::gateway: return "gateway";
    case ServiceRole::attention: return "attention";
    case ServiceRole::router: return "router";
    case ServiceRole::expert: return "expert";
  }
  return "unknown";
}

}  // namespace troupe::services
