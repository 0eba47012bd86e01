#!/usr/bin/env bash
# Builds the program `troupe` and lets the bundled model answer a question.
#
#   bash deploy/demo.sh [QUESTION]
#
# Environment: TROUPE_BUILD = where to build, build/release of the tree by default.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${TROUPE_BUILD:-$root/build/release}
question=${1:-What is a lighthouse?}
cd "$root"

bash deploy/install-deps.sh
if [ ! -f "$build/build.ninja" ]; then cmake --preset release -B "$build" >/dev/null; fi
cmake --build "$build" --target troupe
echo "demo.sh: $build/troupe chat --once \"$question\" --temperature 0"
exec "$build/troupe" chat --once "$question" --temperature 0
