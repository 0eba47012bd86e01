#!/usr/bin/env bash
# Runs a unit test program on an emulated CPU with AVX-512 and VNNI, for machines that lack them.
#
#   TROUPE_BOCHS=BOCHS bash tests/emulated/run.sh [PROGRAM [GTEST_FILTER]]
#
# BOCHS: a Bochs newer than Debian's 2.7, whose XSAVE area for PKRU Linux refuses together with AVX;
# configured --with-nogui --enable-x86-64 --enable-avx --enable-evex --enable-handlers-chaining.
# PROGRAM: build/ci/tests/unit/unit_kernels of the tree by default; one that reads no files.
# It boots a Linux kernel that has nothing but PROGRAM, and Debian's BIOS: packages that are
# downloaded into build/emulated, nothing is installed. The exit status is PROGRAM's.
#
# Environment: TROUPE_EMULATED_CPU      a model of `bochs --help cpu` [corei7_icelake_u]
#              TROUPE_EMULATED_SECONDS  the time after which it has failed [14400]
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
case "${1:-}" in
  -h | --help) sed -n '2,13s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
esac
program=$(realpath -m "${1:-$root/build/ci/tests/unit/unit_kernels}")
filter=${2:-*}
build=$root/build/emulated
unpacked=$build/unpacked
if [ -z "${TROUPE_BOCHS:-}" ]; then
  echo "error: emulated/run.sh: TROUPE_BOCHS must name a Bochs; see --help" >&2
  exit 2
fi
if [ ! -x "$program" ]; then
  echo "error: emulated/run.sh: no program $program; build the target $(basename "$program")" >&2
  exit 2
fi

# Packages that the system has, too, lie in `unpacked`; what else they need is the system's.
get_packages() {
  local packages=$build/packages kernel file
  rm -rf "$unpacked" "$packages"
  mkdir -p "$packages/partial" "$unpacked"
  kernel=$(apt-cache depends linux-image-cloud-amd64 | awk '$1 == "Depends:" {print $2; exit}')
  apt-get -qq -y -o Debug::NoLocking=1 -o APT::Sandbox::User=root -o Acquire::Retries=3 \
    -o Dir::Cache::archives="$packages" --no-install-recommends --reinstall --download-only \
    install bochs bochsbios vgabios busybox-static isolinux syslinux-common xorriso
  (cd "$packages" && apt-get -qq -o APT::Sandbox::User=root -o Acquire::Retries=3 \
    download "$kernel")
  for file in "$packages"/*.deb; do dpkg-deb -x "$file" "$unpacked"; done
  touch "$unpacked/complete"
}

# A file system in memory: /init, /program, its shared libraries and busybox.
make_image() {
  local files=$build/files disc=$build/disc busybox=$unpacked/bin/busybox library
  local quick="mitigations=off nokaslr tsc=reliable random.trust_cpu=on cryptomgr.notests"
  local safe="nopcid noinvpcid nopti nosmep nosmap nopku clearcpuid=fsrm,erms"
  rm -rf "$files" "$disc"
  mkdir -p "$files"/{bin,dev,proc,tmp} "$disc"
  cp "$busybox" "$files/bin/"
  cp "$root/tests/emulated/init" "$files/init"
  strip -o "$files/program" "$program"
  printf '%s' "$filter" >"$files/filter"
  for library in $(ldd "$program" | grep -o '/[^ ]*'); do
    mkdir -p "$files$(dirname "$library")"
    cp -L "$library" "$files$library"
  done
  (cd "$files" && find . | "$busybox" cpio -o -H newc 2>/dev/null) >"$disc/initrd"
  cp "$unpacked"/boot/vmlinuz-* "$disc/vmlinuz"
  cp "$unpacked/usr/lib/ISOLINUX/isolinux.bin" \
    "$unpacked/usr/lib/syslinux/modules/bios/ldlinux.c32" "$disc/"
  # Without what $safe turns off the kernel is lost in page faults before /init.
  cat >"$disc/isolinux.cfg" <<END
default linux
prompt 0
label linux
  kernel vmlinuz
  append initrd=initrd console=ttyS0 loglevel=4 $quick $safe
END
  xorriso -as mkisofs -quiet -o "$build/disc.iso" -b isolinux.bin -c boot.cat -no-emul-boot \
    -boot-load-size 4 -boot-info-table "$disc" 2>/dev/null
}

configure() {
  local share=$unpacked/usr/share/bochs
  # A second of the emulated clock is 20 million instructions: the kernel waits by that clock.
  cat >"$build/bochsrc" <<END
display_library: nogui
romimage: file=$share/BIOS-bochs-latest
vgaromimage: file=$unpacked/usr/share/vgabios/vgabios.bin
cpu: model=${TROUPE_EMULATED_CPU:-corei7_icelake_u}, ips=20000000, ignore_bad_msrs=1
memory: guest=1024, host=1024
boot: cdrom
ata0: enabled=1
ata0-master: type=cdrom, path=$build/disc.iso, status=inserted
com1: enabled=1, mode=file, dev=$build/serial
clock: sync=none
log: $build/bochs.log
panic: action=fatal
END
}

mkdir -p "$build"
[ -e "$unpacked/complete" ] || get_packages
libraries=$unpacked/usr/lib/x86_64-linux-gnu
export LD_LIBRARY_PATH=$libraries
export BXSHARE=$unpacked/usr/share/bochs PATH=$unpacked/usr/bin:$PATH TERM=vt100
make_image
configure
bochs="$TROUPE_BOCHS -q -f $build/bochsrc"

: >"$build/serial"
timeout "${TROUPE_EMULATED_SECONDS:-14400}" \
  script -qfec "echo \$\$ >'$build/pid'; exec $bochs" "$build/screen" </dev/null >/dev/null 2>&1 &
emulator=$!
trap 'kill -KILL "$emulator" "$(cat "$build/pid")" 2>/dev/null || true' EXIT
status=
while IFS= read -r line; do
  line=${line%$'\r'}
  printf '%s\n' "$line"
  case "$line" in
    "emulated: exit status "*) status=${line##* }; break ;;
    *"Kernel panic"*) break ;;
  esac
done < <(tail -n +1 -f --pid="$emulator" "$build/serial" 2>/dev/null)
if [ -z "$status" ]; then
  echo "error: emulated/run.sh: the program did not end; see $build/bochs.log" >&2
  exit 1
fi
exit "$status"
