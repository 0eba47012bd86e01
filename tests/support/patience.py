"""How long a test waits: deadlines stretched for builds that run slowly, sanitizers above all."""

import os

FACTOR = float(os.environ.get("TROUPE_TEST_PATIENCE", "1"))


def patient(seconds):
    """The deadline that stands for `seconds` in this build."""
    return seconds * FACTOR
