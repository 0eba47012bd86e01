#!/usr/bin/env python3
"""Fails when a kernel has instructions of a level above its own, as `objdump` tells.

level_instructions.py LIBRARY
"""

import collections
import re
import subprocess
import sys

_MEMBER = re.compile(r"^(\S+\.o): +file format")
_FUNCTION = re.compile(r"^[0-9a-f]+ <(.+)>:$")
_INSTRUCTION = re.compile(r"^ +[0-9a-f]+:\t(.+)$")
_AVX512 = re.compile(
    r"%zmm|%[xy]mm(?:1[6-9]|2\d|3[01])\b|%k[0-7]\b|\{1to\d+\}"
    r"|^v(?:pternlog|movdq[au](?:8|16|32|64)\b|perm[it]2|rndscale|(?:extract|insert)[fi](?:32|64)x)"
)
_VNNI = re.compile(r"^vpdp")
_AVX_VNNI = re.compile(r"^\{vex\} vpdp")  # the same in 256 bits, by CPUs without AVX-512
_OF_VNNI = "int8_vnni.cpp.o"
_BF16 = re.compile(r"^v(?:dpbf16|cvtne2?ps2?bf16)")
_OF_BF16 = "linear_bf16.cpp.o"
_AMX = re.compile(r"^(?:tile|tdp|ldtilecfg)")
_OF_AMX = "int8_amx.cpp.o"
_OF_TILES = "linear_amx.cpp.o"  # its level has BF16, too


def instructions(listing):
    """(member, function, instruction) of the output of `objdump -d --no-show-raw-insn`."""
    member = function = ""
    for line in listing.splitlines():
        if match := _MEMBER.match(line):
            member = match.group(1)
        elif match := _FUNCTION.match(line):
            function = match.group(1)
        elif match := _INSTRUCTION.match(line):
            yield member, function, match.group(1)


def level_problems(listing):
    """A line for each function that goes too far, and for each level that is not there."""
    problems = {}
    seen = collections.Counter()
    for member, function, instruction in instructions(listing):
        vnni = bool(_VNNI.match(instruction))
        avx_vnni = bool(_AVX_VNNI.match(instruction))
        bf16 = bool(_BF16.match(instruction))
        amx = bool(_AMX.match(instruction))
        wide = vnni or bf16 or amx or bool(_AVX512.search(instruction))
        seen["AVX-512"] += wide
        seen["VNNI"] += vnni
        seen["AVX-VNNI"] += avx_vnni
        seen["BF16"] += bf16
        seen["AMX"] += amx
        owners = (
            (vnni or avx_vnni, (_OF_VNNI,)),
            (bf16, (_OF_BF16, _OF_TILES)),
            (amx, (_OF_AMX, _OF_TILES)),
        )
        elsewhere = any(it and member not in of for it, of in owners)
        above = (wide and "N_AVX3" not in function) or (avx_vnni and "N_AVX2" not in function)
        if above or elsewhere:
            problems.setdefault((member, function), instruction)
    lines = [f"{m}: {f}: {i}" for (m, f), i in problems.items()]
    sets = ("AVX-512", "VNNI", "AVX-VNNI", "BF16", "AMX")
    return lines + [f"no instruction of {name}" for name in sets if not seen[name]]


def self_test():
    """The checks can fail."""

    def listing(member, function, instruction):
        return f"{member}:     file format elf64\n0000 <{function}>:\n   4:\t{instruction}\n"

    good = listing(_OF_VNNI, "N_AVX3f", "vpdpbusd %zmm1,%zmm2,%zmm3")
    good += listing(_OF_VNNI, "N_AVX2f", "{vex} vpdpbusd %ymm1,%ymm2,%ymm3")
    good += listing(_OF_BF16, "N_AVX3f", "vdpbf16ps %zmm1,%zmm2,%zmm3")
    good += listing(_OF_AMX, "N_AVX3f", "tdpbssd %tmm7,%tmm5,%tmm3")
    good += listing(_OF_TILES, "N_AVX3f", "tdpbf16ps %tmm7,%tmm5,%tmm3")
    good += listing(_OF_TILES, "N_AVX3f", "vcvtne2ps2bf16 %zmm4,%zmm0,%zmm0")
    assert level_problems(good) == []
    assert len(level_problems("")) == 5
    for bad in (
        ("a.cpp.o", "N_AVX2f", "vpaddd %zmm1,%zmm2,%zmm3"),
        ("a.cpp.o", "N_AVX2f", "vpaddd %ymm17,%ymm2,%ymm3"),
        ("a.cpp.o", "N_AVX2f", "vpternlogd $0xff,%ymm1,%ymm1,%ymm1"),
        ("a.cpp.o", "N_AVX3f", "vpdpbusd %zmm1,%zmm2,%zmm3"),
        ("a.cpp.o", "N_AVX2f", "{vex} vpdpbusd %ymm1,%ymm2,%ymm3"),
        (_OF_VNNI, "f", "{vex} vpdpbusd %ymm1,%ymm2,%ymm3"),
        (_OF_VNNI, "N_AVX2f", "vpdpbusd %ymm1,%ymm2,%ymm3"),
        ("a.cpp.o", "N_AVX3f", "vdpbf16ps %zmm1,%zmm2,%zmm3"),
        ("a.cpp.o", "N_AVX3f", "tileloadd (%rax,%rdx,1),%tmm4"),
        (_OF_BF16, "N_AVX3f", "tileloadd (%rax,%rdx,1),%tmm4"),
        (_OF_BF16, "f", "vdpbf16ps %zmm1,%zmm2,%zmm3"),
    ):
        assert level_problems(good + listing(*bad)) == [": ".join(bad)], bad


def main():
    self_test()
    objdump = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", sys.argv[1]],
        capture_output=True,
        text=True,
        check=True,
    )
    problems = level_problems(objdump.stdout)
    print("\n".join([*problems, f"{len(problems)} problems"]))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
