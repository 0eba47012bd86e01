#!/usr/bin/env bash
# Installs what building Troupe needs on Debian 12; quick and silent when everything is there.
#
#   bash deploy/install-deps.sh            what `cmake --preset release` and the target troupe need
#   bash deploy/install-deps.sh --python   also Python and its environments
#   bash deploy/install-deps.sh --tests    also Python with tests/requirements.txt, in .venv-tests
#
# Environment: TROUPE_TEST_VENV = another place for the tests' Python environment.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# GoogleTest and Google Benchmark are here because every preset configures the tests, too.
packages=(
  g++ cmake ninja-build ccache
  libcaf-dev libucx-dev libhwy-dev libpcre2-dev nlohmann-json3-dev libcli11-dev
  libyaml-cpp-dev libspdlog-dev libfmt-dev prometheus-cpp-dev libcpp-httplib-dev libssl-dev
  libgrpc++-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc grpc-proto
  libgtest-dev libbenchmark-dev
)
# The browser is for the pages: 64 MB to fetch.
test_packages=(python3 python3-venv git binutils iproute2 chromium-headless-shell fonts-dejavu-core)

with_tests=no
for argument in "$@"; do
  case "$argument" in
    --python) packages+=(python3 python3-venv) ;;
    --tests) with_tests=yes ;;
    -h | --help) sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) echo "error: install-deps.sh: unknown argument '$argument'. Try --help." >&2; exit 2 ;;
  esac
done
if [ "$with_tests" = yes ]; then packages+=("${test_packages[@]}"); fi

missing() {
  local name
  for name in "$@"; do
    dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null | grep -qx installed || echo "$name"
  done
}

install_packages() {
  local wanted=("$@") as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
      echo "error: install-deps.sh: root is needed to install: ${wanted[*]}." \
           "Run it as root or install sudo." >&2
      exit 1
    fi
    as_root=(sudo)
  fi
  echo "install-deps.sh: installing ${wanted[*]}"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=3 update
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Acquire::Retries=3 \
    -o Dpkg::Use-Pty=0 install --no-install-recommends "${wanted[@]}" >/dev/null
}

install_python_packages() {
  local venv=${TROUPE_TEST_VENV:-$root/.venv-tests} list=$root/tests/requirements.txt
  if cmp -s "$list" "$venv/installed-requirements.txt"; then return; fi
  echo "install-deps.sh: installing tests/requirements.txt into $venv"
  /usr/bin/python3 -m venv --clear "$venv"
  "$venv/bin/python3" -m pip install --quiet --disable-pip-version-check --retries 3 -r "$list"
  cp "$list" "$venv/installed-requirements.txt"
}

mapfile -t wanted < <(missing "${packages[@]}")
if [ "${#wanted[@]}" -gt 0 ]; then install_packages "${wanted[@]}"; fi
if [ "$with_tests" = yes ]; then install_python_packages; fi
