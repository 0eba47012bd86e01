#!/usr/bin/env python3
"""The committed chat goldens are what Jinja2 gives today, rendered afresh."""

import os
import sys

from tests.support import requirement

try:
    import jinja2  # noqa: F401
except ImportError:
    requirement.lacking("Python's jinja2")

sys.path.insert(0, os.path.join(os.environ["TROUPE_SOURCE_DIR"], "tests/goldens/chat"))
sys.argv = ["make_chat_goldens.py", "--check"]

import make_chat_goldens  # noqa: E402

make_chat_goldens.main()
