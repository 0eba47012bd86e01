// Where this source tree lies, for tests that read its files.
#pragma once

namespace troupe {

/// Without a slash at the end. Known to one object file only: an object file that held the path
/// could not be taken from the compiler's cache in another clone.
extern const char* const kSourceDir;

}  // namespace troupe
