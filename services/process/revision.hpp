// Which revision of the sources this program was built from.
#pragma once

namespace troupe::services {

/// "25bba6511f0e", "-dirty" behind it when files had been changed; "unknown" where the sources were
/// no checkout of git. Written at build time by cmake/WriteRevision.cmake.
extern const char* const kRevision;

}  // namespace troupe::services
