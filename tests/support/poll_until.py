"""Waits for a condition with a deadline: the only place where a test may sleep."""

import time

from tests.support.patience import patient

_PERIOD_S = 0.02


def eventually(condition, what, timeout_s=300):
    """What `condition` gives once it is true; asks again until then."""
    timeout_s = patient(timeout_s)
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(_PERIOD_S)
    raise AssertionError(f"not within {timeout_s} s: {what}")
