// Peers that came to a port and do not speak what it speaks: told, few lines however many come.
#pragma once
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "core/door_log.hpp"
#include "services/runtime/config/service_config.hpp"
#include "services/runtime/log/logger.hpp"

namespace troupe::services {

/// Somebody who was turned away.
struct Stranger {
  std::string_view port;  // "ops", "http", "grpc", "admin", "ucx"
  Address peer;
  /// "foreign": it speaks something else; "silent": too little came in time; "ended": it hung up in
  /// the middle; "crowded": others needed its place; "tls": its handshake failed; "resets": it took
  /// back nearly all of its calls at once.
  std::string_view reason;
  std::string detail;  // what it said, and what the port is for
};

/// What a server calls; empty: nobody is told. Any thread; may block as long as stderr does.
using StrangerSink = std::function<void(const Stranger&)>;

/// Writes the lines `stranger_refused`, each port's within the bounds of a DoorLog of its own.
/// *Threading*: any.
class StrangerLog {
 public:
  /// `log` must outlive it.
  explicit StrangerLog(Logger& log) : log_(log) {}
  StrangerLog(const StrangerLog&) = delete;

  void tell(const Stranger& stranger);
  /// Valid as long as this.
  StrangerSink sink() {
    return [this](const Stranger& stranger) { tell(stranger); };
  }

 private:
  Logger& log_;
  std::mutex mutex_;
  std::map<std::string, DoorLog, std::less<>> ports_;
};

}  // namespace troupe::services
