#!/usr/bin/env python3
"""Writes case_tables.cpp: Python's str.upper and str.lower beyond ASCII as ranges.

Run with Python 3.11, whose Unicode is 14."""

import os
import textwrap
import unicodedata

CHARACTERS = [c for c in range(0x80, 0x110000) if not 0xD800 <= c < 0xE000]


def longest(pairs, i, step):
    first, delta = pairs[i]
    n = 1
    while i + n < len(pairs) and pairs[i + n] == (first + n * step, delta):
        n += 1
    return n


def ranges(convert):
    changed = [(c, convert(chr(c))) for c in CHARACTERS if convert(chr(c)) != chr(c)]
    single = [(c, ord(s) - c) for c, s in changed if len(s) == 1]
    out, i = [], 0
    while i < len(single):
        n, step = max((longest(single, i, s), -s) for s in (1, 2))
        first, delta = single[i]
        out.append((first, first + (n - 1) * -step, -step, delta))
        i += n
    return out, [(c, s) for c, s in changed if len(s) > 1]


def table(kind, name, rows):
    body = textwrap.fill(
        ", ".join(rows),
        96,
        initial_indent="    ",
        subsequent_indent="    ",
        break_on_hyphens=False,
    )
    return f"const {kind} {name}[] = {{\n{body}}};\n"


def main():
    parts = [
        f"// Python's str.upper and str.lower beyond ASCII, Unicode {unicodedata.unidata_version}; "
        "written by make_case_tables.py.\n"
        '#include "model/chat/jinja/case_tables.hpp"\n\n'
        "namespace troupe::model::jinja {\nnamespace {\n\n"
        "// clang-format off\n"
    ]
    tail = []
    for name, convert in (("Upper", str.upper), ("Lower", str.lower)):
        single, several = ranges(convert)
        parts.append(table("CaseRange", f"k{name}Ranges", ["{%d,%d,%d,%d}" % r for r in single]))
        parts.append(
            table(
                "CaseSpecial",
                f"k{name}Specials",
                [
                    '{%d,"%s"}' % (c, "".join("\\x%02x" % b for b in s.encode()))
                    for c, s in several
                ],
            )
        )
        tail.append(f"const CaseTable k{name}Case{{k{name}Ranges, k{name}Specials}};\n")
    parts.append(
        "// clang-format on\n\n}  // namespace\n\n"
        + "".join(tail)
        + "\n}  // namespace troupe::model::jinja\n"
    )
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "case_tables.cpp")
    open(path, "w", encoding="utf-8").write("".join(parts))


if __name__ == "__main__":
    main()
