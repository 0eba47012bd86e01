#!/usr/bin/env bash
# Troupe and llama.cpp on the same weights in one run, in turns: ratios with min / median / max.
#   run.sh [CHECKPOINT] [flags of compare.py, as --rounds 3 --threads 1,2]
#   DIR=build/peers: for all that is made
#   TROUPE=PROGRAM, else build/release/troupe, built if it is not there
#   PYTHON=one with numpy and gguf, else an environment in DIR
#   LLAMA_BIN=FOLDER of llama-bench, llama-batched-bench, llama-quantize: else they are built
# CHECKPOINT is one with FP8 weights; without it bench-1b of make_model.py is made. Compared are its
# FP8 and INT8 with Q8_0, INT4 of all layers with Q4_0, FP8 and BF16 with BF16, these where there is
# AMX in the order of its sums too (fp8-tiles, bf16-tiles); w8a8 and w4a8 are
# INT8 and INT4 with activations in INT8, as llama.cpp has them. Whatever is in DIR already is used
# again: 13 GB with bench-1b.
set -euo pipefail
peers=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$peers/../../.." && pwd)
dir=${DIR:-$source/build/peers}
troupe=${TROUPE:-$source/build/release/troupe}
python=${PYTHON:-$dir/venv/bin/python3}
checkpoint=$dir/bench-1b
if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then
  checkpoint=$(cd "$1" && pwd)
  shift
fi

if [ -z "${TROUPE:-}" ]; then
  bash "$source/deploy/install-deps.sh" --python >&2
  (cd "$source" && cmake --preset release && cmake --build build/release --target troupe) >&2
elif ! [ -x "$troupe" ]; then
  echo "run.sh: no program at $troupe. Build it, or leave TROUPE out" >&2
  exit 2
fi
if [ -z "${PYTHON:-}" ] && ! [ -e "$dir/venv/whole" ]; then
  python3 -m venv --clear "$dir/venv" >&2
  "$dir/venv/bin/python3" -m pip install --quiet numpy==2.4.6 gguf==0.19.0 >&2
  touch "$dir/venv/whole"
fi
if ! "$python" -c "import numpy, gguf"; then
  echo "run.sh: $python lacks numpy or gguf. Install them, or name another by PYTHON=" >&2
  exit 2
fi
mkdir -p "$dir"
llama=${LLAMA_BIN:-$dir/llama/bin}
for tool in llama-bench llama-batched-bench llama-quantize; do
  if [ -x "$llama/$tool" ]; then continue; fi
  if [ -n "${LLAMA_BIN:-}" ]; then
    echo "run.sh: no program at $llama/$tool. Name their folder by LLAMA_BIN=, or build without" >&2
    exit 2
  fi
  PIP="$python -m pip" bash "$peers/build_llama.sh" "$dir/llama" >&2
  break
done

# Makes FILE by COMMAND ... FILE.part unless it is there; a stopped run leaves no half file. What it
# says goes to stderr: stdout has the table alone.
make_once() {
  local file=$1
  shift
  if [ -e "$file" ]; then return; fi
  rm -rf "$file.part"
  "$@" "$file.part" >&2
  mv "$file.part" "$file"
}
make_model() { "$python" "$source/tests/goldens/tools/make_model.py" "$1" --preset bench-1b; }
cast() { "$troupe" model cast --to bf16 "$checkpoint" "$1"; }
convert() { "$python" "$peers/to_gguf.py" "$checkpoint" "$1" --outtype bf16; }
quantise() { "$llama/llama-quantize" "$dir/$name-bf16.gguf" "$1" "$2"; }
to_q8_0() { quantise "$1" Q8_0; }
to_q4_0() { quantise "$1" Q4_0; }
to_int8() { "$troupe" model quantize --to int8 "$checkpoint" "$1"; }
to_int4() { "$troupe" model quantize --to int4-all "$checkpoint" "$1"; }

name=$(basename "$checkpoint")
if [ "$checkpoint" = "$dir/bench-1b" ]; then make_once "$checkpoint" make_model; fi
make_once "$dir/$name-bf16" cast
make_once "$dir/$name-bf16.gguf" convert
make_once "$dir/$name-q8_0.gguf" to_q8_0
make_once "$dir/$name-q4_0.gguf" to_q4_0
make_once "$dir/$name-int8" to_int8
make_once "$dir/$name-int4" to_int4

echo "# $(date -u +%FT%TZ)  $(lscpu | sed -n 's/^Model name: *//p')  $(nproc) cores"
echo "# troupe $(git -C "$source" rev-parse --short HEAD 2>/dev/null || echo 'of no repository')"
has_amx() {
  "$troupe" version --json |
    "$python" -c 'import json, sys; sys.exit("avx512_amx" not in json.load(sys.stdin)["levels"])'
}
tiles=()
if has_amx; then
  tiles+=(--pair fp8-tiles/BF16 "$checkpoint" bf16-tiles "$dir/$name-bf16.gguf")
  tiles+=(--pair bf16-tiles/BF16 "$dir/$name-bf16" bf16-tiles "$dir/$name-bf16.gguf")
fi
exec "$python" "$peers/compare.py" --troupe "$troupe" --llama "$llama" \
  --pair fp8/Q8_0 "$checkpoint" bf16 "$dir/$name-q8_0.gguf" \
  --pair fp8/BF16 "$checkpoint" bf16 "$dir/$name-bf16.gguf" \
  --pair int8/Q8_0 "$dir/$name-int8" bf16 "$dir/$name-q8_0.gguf" \
  --pair w8a8/Q8_0 "$dir/$name-int8" int8-act "$dir/$name-q8_0.gguf" \
  --pair int4/Q4_0 "$dir/$name-int4" bf16 "$dir/$name-q4_0.gguf" \
  --pair w4a8/Q4_0 "$dir/$name-int4" int8-act "$dir/$name-q4_0.gguf" \
  --pair bf16/BF16 "$dir/$name-bf16" bf16 "$dir/$name-bf16.gguf" "${tiles[@]}" "$@"
