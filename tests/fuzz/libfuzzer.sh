#!/usr/bin/env bash
# Runs the fuzz targets under LLVM's libFuzzer, which follows coverage; any finding is a failure.
#
#   bash tests/fuzz/libfuzzer.sh [SECONDS_EACH] [TARGET...]
#
# SECONDS_EACH: CPU time of each target, 600 by default. TARGET: NAME of a NAME_fuzz.cpp beside this
# file, all by default. Build, corpora, findings and logs are in build/libfuzzer; the next run goes
# on with the corpora. Environment: TROUPE_LIBFUZZER_BUILD = another place for all of it.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=$(realpath -m "${TROUPE_LIBFUZZER_BUILD:-$root/build/libfuzzer}")
here=$root/tests/fuzz
seconds=600
if [[ ${1:-} =~ ^[0-9]+$ ]]; then seconds=$1; shift; fi
targets=("$@")
if [ "$#" -eq 0 ]; then
  for source in "$here"/*_fuzz.cpp; do
    targets+=("$(basename "$source" _fuzz.cpp)")
  done
fi
for target in "${targets[@]}"; do
  if [ ! -f "$here/${target}_fuzz.cpp" ]; then
    sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    echo "error: libfuzzer.sh: there is no target '$target' in tests/fuzz" >&2
    exit 2
  fi
done
if ! runtime=$(clang++ -print-file-name="libclang_rt.fuzzer-$(uname -m).a" 2>/dev/null) ||
   [ ! -e "$runtime" ]; then
  echo "error: libfuzzer.sh: clang++ or its libFuzzer is missing; install the packages clang and" \
       "libclang-rt-14-dev" >&2
  exit 1
fi

cd "$root"
cmake --preset libfuzzer -B "$build" >/dev/null
cmake --build "$build" -j "$(nproc)" --target "${targets[@]/#/fuzz_}"

export UBSAN_OPTIONS=print_stacktrace=1

# The last number that libFuzzer gave a word in a log.
last_of() { grep -oE "$1 *[0-9]+" "$2" | tail -n 1 | grep -oE '[0-9]+$' || echo 0; }

# One target: its corpus grows, its findings stay. Fails on a finding.
run_target() {
  local target=$1 program=$build/tests/fuzz/fuzz_$1
  local corpus=$build/corpus/$target findings=$build/findings/$target log=$build/logs/$target.log
  local options=(-seed=20241226 -max_len=8192 -timeout=60 -rss_limit_mb=2048
                 -print_final_stats=1 -artifact_prefix="$findings/" --cpu-seconds="$seconds")
  if [ -f "$here/dictionaries/$target.dict" ]; then
    options+=(-dict="$here/dictionaries/$target.dict")
  fi
  mkdir -p "$corpus" "$findings" "$build/logs"
  "$program" --write-seeds="$corpus"
  local failed=0
  "$program" "${options[@]}" "$corpus" >"$log" 2>&1 || failed=$?
  printf '%-16s %s s, %s executions, coverage %s, corpus %s, %s new, %s\n' "$target" "$seconds" \
    "$(last_of stat::number_of_executed_units: "$log")" "$(last_of cov: "$log")" \
    "$(find "$corpus" -type f | wc -l)" "$(last_of stat::new_units_added: "$log")" \
    "$([ "$failed" -eq 0 ] && echo 'no finding' || echo "FINDING ($failed): $log, $findings")"
  return "$failed"
}

found=0
for target in "${targets[@]}"; do
  run_target "$target" || found=1
done
exit "$found"
