// Hands proved connections to CAF: as its own connections, but for a bound on each message.
//
// CAF takes a socket that somebody else has connected as a *scribe*; CAF's OpenSSL module does the
// same. Nothing of CAF listens anywhere.
#pragma once
#include <caf/io/scribe.hpp>

#include "actors/control/basp_watch.hpp"
#include "actors/control/doorkeeper.hpp"
#include "actors/interfaces.hpp"
#include "actors/node_event.hpp"

namespace troupe::actors {

/// CAF's end of proved connections in one process.
/// *Threading*: any; its system must outlive it.
class CafConnector {
 public:
  CafConnector(caf::actor_system& system, EventSink on_event);

  /// The router's side: CAF greets the other end and offers it `director`.
  void take_in(ProvedConnection connection, const DirectorActor& director) const;
  /// `director` is offered to nobody any more.
  void withdraw(const DirectorActor& director) const;

  /// The service's side: what BASP makes of it comes to `then` as an answer of broker() to
  /// (connect_atom, scribe, port).
  caf::io::scribe_ptr scribe(ProvedConnection connection) const;
  const caf::actor& broker() const { return broker_; }

 private:
  caf::actor_system& system_;
  EventSink on_event_;
  caf::actor broker_;  // CAF's own, which speaks BASP
};

/// Closes a connection that was given to CAF and is of no more use. *Threading*: any.
void hang_up(const caf::io::scribe_ptr& connection);

}  // namespace troupe::actors
