// Who waits at a control port without having proved itself, and who has to leave. No sockets.
#pragma once
#include <chrono>
#include <cstddef>
#include <list>
#include <optional>
#include <string>

namespace troupe::actors {

struct DoorLimits {
  std::size_t waiting_max = 128;           // connections without a proof, all addresses together
  std::size_t inside_max = 2048;           // with one; two for each of 1024 members
  std::chrono::milliseconds budget{5000};  // for the whole preamble
  std::chrono::milliseconds undisturbed{250};  // nobody has to leave sooner, but see below
};

/// Places for connections that have not proved themselves. When all are taken, one more may come in
/// place of the oldest of the address that holds most, once that one has had time for a preamble;
/// at once where its address holds more than a quarter of all places. So strangers that say nothing
/// cannot keep members out, and members that come all at once do not push each other out.
/// *Threading*: one owner.
class DoorPlaces {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using Place = int;  // the connection's descriptor

  explicit DoorPlaces(const DoorLimits& limits) : limits_(limits) {}

  bool full() const { return waiting_.size() >= limits_.waiting_max; }
  std::size_t size() const { return waiting_.size(); }
  void add(Place place, std::string address, TimePoint now);
  void remove(Place place);
  /// Who leaves for another; nobody: it has to wait.
  std::optional<Place> victim(TimePoint now) const;
  /// When asking for a victim again may help.
  TimePoint victim_due() const;
  /// The oldest whose time is up.
  std::optional<Place> expired(TimePoint now) const;
  /// When the next one's time is up; max: nobody waits.
  TimePoint next_expiry() const;

 private:
  struct Waiting {
    Place place;
    std::string address;
    TimePoint since;
  };
  const Waiting& oldest_of_busiest(std::size_t& held) const;

  DoorLimits limits_;
  std::list<Waiting> waiting_;  // oldest first
};

}  // namespace troupe::actors
