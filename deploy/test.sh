#!/usr/bin/env bash
# Builds Troupe with its tests and runs them all, soak tests apart: what CI runs.
#
#   bash deploy/test.sh [BUILD_DIR]     BUILD_DIR: where to build, build/ of the tree by default
#
# The presets ci (warnings are errors) and asan (the lower folders and the fuzz targets) are built;
# one ctest call runs the tests of both and its summary is the last thing printed.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$(realpath -m "${1:-$root/build}")
cores=$(nproc)
cd "$root"

# Compiled objects are found again in another clone at another place.
export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1 CCACHE_SLOPPINESS=pch_defines,time_macros

bash deploy/install-deps.sh --tests
echo "test.sh: building with AddressSanitizer in $build/asan"
cmake --preset asan -B "$build/asan" >/dev/null
cmake --build "$build/asan" --target asan_subset -j "$cores"
echo "test.sh: building in $build/ci"
cmake --preset ci -B "$build/ci" -DTROUPE_ASAN_BUILD="$build/asan" >/dev/null
cmake --build "$build/ci" -j "$cores"
exec ctest --test-dir "$build/ci" --label-exclude soak --no-tests=error --output-on-failure \
  -j "$cores"
