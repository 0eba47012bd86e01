"""docs/metrics.md and a scrape, in a form that can be compared."""

import os
import re

from tests.support import program


def documented():
    """{section: {name: (type, labels)}} of docs/metrics.md."""
    with open(os.path.join(program.SOURCE, "docs", "metrics.md"), encoding="utf-8") as file:
        parts = re.split(r"(?m)^## (.*)$", file.read())[1:]
    row = r"(?m)^\| `(\w+)` \| (\w+) \| ([\w, ]*?) ?\|"
    return {
        title: {name: (kind, labels) for name, kind, labels in re.findall(row, text)}
        for title, text in zip(parts[::2], parts[1::2])
    }


def scraped(text):
    """{name: (type, labels)} of the families that have a value."""
    families = {}
    kinds = dict(re.findall(r"(?m)^# TYPE (\w+) (\w+)$", text))
    for name, labels in re.findall(r"(?m)^(\w+)(?:\{(.*)\})? \S+$", text):
        base = name if name in kinds else re.sub("_(bucket|sum|count)$", "", name)
        names = [label for label in re.findall(r'(\w+)="', labels) if label != "le"]
        families[base] = (kinds[base], ", ".join(names))
    return families
