// Ctrl-C as a flag that loops look at, and SIGPIPE as a failed write.
#pragma once

namespace troupe::services {

/// From now on SIGINT sets a flag (a second one while the flag is up ends the process with 130),
/// interrupts blocking reads, and writing to a closed pipe fails with EPIPE.
/// *Threading*: call once, before other threads start.
void install_interrupts();

/// Whether SIGINT came since the last `clear_interrupt`. *Threading*: any.
bool interrupted();
void clear_interrupt();

}  // namespace troupe::services
