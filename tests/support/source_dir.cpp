// The one object file of the tests that knows the path of this source tree.
#include "tests/support/source_dir.hpp"

namespace troupe {
const char* const kSourceDir = TROUPE_SOURCE_DIR;
}  // namespace troupe
