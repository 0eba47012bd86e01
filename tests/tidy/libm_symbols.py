#!/usr/bin/env python3
"""Fails when a static library of ours needs libm: exp, log, sin, cos or pow, as `nm` tells.

libm_symbols.py LIBRARY...
"""

import re
import subprocess
import sys

_LIBM = re.compile(
    r"^(?:_ZGV\w+_)?(?:exp|exp2|exp10|expm1|log|log2|log10|log1p|sin|cos|tan|sincos|sinh|cosh|tanh"
    r"|pow)[fl]?(?:@.*)?$"
)


def libm_symbols(listing):
    """Names of libm's functions in the output of `nm --undefined-only`."""
    names = (line.split()[-1] for line in listing.splitlines() if " U " in line)
    return sorted({name for name in names if _LIBM.match(name)})


def main():
    assert libm_symbols("      U expf\n      U _ZN6troupe7exp_f32Ef\n") == ["expf"]
    failed = 0
    for library in sys.argv[1:]:
        nm = subprocess.run(
            ["nm", "--undefined-only", library], capture_output=True, text=True, check=True
        )
        found = libm_symbols(nm.stdout)
        if found:
            print(f"{library}: needs libm's {', '.join(found)}; use kernels/math.hpp")
            failed = 1
    print(f"{len(sys.argv) - 1} libraries read")
    return failed


if __name__ == "__main__":
    sys.exit(main())
