#!/usr/bin/env bash
# Builds llama.cpp's server, quantizer and benchmarks in DIR/bin from llama-cpp-python's archive.
#   build_llama.sh DIR [VERSION]      JOBS=N   PIP="python3 -m pip"
# Wants cmake, g++, ninja or make, and pip; about 15 minutes on two cores, 1.2 GB of disk.
set -euo pipefail
dir=${1:?usage: build_llama.sh DIR [VERSION of llama-cpp-python]}
version=${2:-0.3.36}
read -ra pip <<<"${PIP:-python3 -m pip}"
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

archive=$dir/archive/llama_cpp_python-$version.tar.gz
if [ ! -f "$archive" ]; then
  "${pip[@]}" download --no-binary llama-cpp-python --no-deps -d "$dir/archive" \
    "llama-cpp-python==$version"
fi
source=$dir/source
if [ ! -d "$source/vendor/llama.cpp" ]; then
  mkdir -p "$source"
  tar xzf "$archive" -C "$source" --strip-components=1
fi

generator="Unix Makefiles"
if command -v ninja >/dev/null; then generator=Ninja; fi
# Weights that its AMX code has turned into tiles are lost to 3-D products, as those of W_UK and
# W_UV of this architecture are: "GGML_ASSERT(*cur_backend_id != -1)". With these two in BF16 it ran
# at times, no faster than without AMX (docs/performance.md).
flags=
if [ "$(uname -m)" = x86_64 ]; then flags="-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"; fi
# The archive has no .git: the build number is what it says here.
cmake -S "$source/vendor/llama.cpp" -B "$dir/build" -G "$generator" \
  -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON -DBUILD_SHARED_LIBS=OFF \
  -DCMAKE_C_FLAGS="$flags" -DCMAKE_CXX_FLAGS="$flags" \
  -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF \
  -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF \
  -DLLAMA_BUILD_NUMBER=0 -DLLAMA_BUILD_COMMIT="llama-cpp-python-$version"
mkdir -p "$dir/bin"
for target in llama-server llama-quantize llama-bench llama-batched-bench; do
  cmake --build "$dir/build" -j "${JOBS:-$(nproc)}" --target "$target"
  cp "$dir/build/bin/$target" "$dir/bin/"
done
"$dir/bin/llama-server" --version
