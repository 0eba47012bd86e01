// Giving the core away between two looks of a spin, as long as it comes back soon.
#pragma once

namespace troupe {

/// Lets another thread have this core for a moment: whoever is waited for may be queued on it.
///
/// False: not done, and the caller sleeps instead of looking again. A thread that yields to a busy
/// one of another program waits for that one's whole time slice, 3 ms or more; one that slept and
/// is woken has the core at once. So for a while after an offer that took long there is none.
/// *Threading*: any; what is remembered is the thread's own.
[[nodiscard]] bool offer_core();

}  // namespace troupe
