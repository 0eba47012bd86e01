#!/usr/bin/env bash
# Builds a sanitizer's preset and runs its tests; any report of any process is a failure.
#
#   bash tests/sanitized.sh asan|tsan [BUILD_DIR] [-- CTEST_ARGUMENTS...]
#
# BUILD_DIR: build/asan or build/tsan of the tree by default. Soak tests are left out.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
preset=${1:-}
case "$preset" in
  asan | tsan) shift ;;
  *) sed -n '2,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
build=$root/build/$preset
if [ "$#" -gt 0 ] && [ "$1" != -- ]; then build=$(realpath -m "$1"); shift; fi
if [ "${1:-}" = -- ]; then shift; fi
reports=$build/reports
supp=$root/tests/support
cores=$(nproc)
cd "$root"

cmake --preset "$preset" -B "$build" >/dev/null
cmake --build "$build" -j "$cores"

# Reports go to files: a test that reads stderr sees the program's words only, and no report is
# lost with the stderr of a process that nobody reads. UCX's own hooks do not go together with a
# sanitizer. "$reports/tsan.PID" and so on are the names.
rm -rf "$reports"
mkdir -p "$reports"
export UCX_HANDLE_ERRORS=none UCX_MEM_EVENTS=n
export ASAN_OPTIONS=suppressions=$supp/asan.supp:log_path=$reports/asan
export LSAN_OPTIONS=suppressions=$supp/lsan.supp:print_suppressions=0
export UBSAN_OPTIONS=print_stacktrace=1:log_path=$reports/ubsan
# cpp-httplib's locks are not seen (tsan.supp), but an unlock that it ends a function with is: it
# jumps there, so that the call looks like ours. Hence no reports of mutexes unlocked twice. Threads
# are left behind on purpose: by a stop while loading, and by gRPC, which joins no resolver.
tsan=suppressions=$supp/tsan.supp:print_suppressions=0:report_mutex_bugs=0:report_thread_leaks=0
export TSAN_OPTIONS=$tsan:log_path=$reports/tsan
failed=0
ctest --test-dir "$build" --label-exclude soak --no-tests=error --output-on-failure \
  -j "$cores" "$@" || failed=$?
found=$(find "$reports" -type f | wc -l)
if [ "$found" -gt 0 ]; then
  head -n 60 "$reports"/*
  echo "error: sanitized.sh: $found processes reported something, see $reports" >&2
  exit 1
fi
exit "$failed"
