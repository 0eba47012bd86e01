"""Says what happens when a test lacks a tool: skipped for a developer, failed where CI is set."""

import os
import sys

SKIPPED = 77  # ctest's SKIP_RETURN_CODE in cmake/TroupeTargets.cmake


def lacking(tool, next_step="bash deploy/install-deps.sh --tests"):
    """Ends the program because `tool` is not there; CI must never pass by skipping."""
    in_ci = os.environ.get("CI", "") not in ("", "0", "false")
    print(f"{'error' if in_ci else 'skipped'}: this test needs {tool}. Try: {next_step}")
    sys.exit(1 if in_ci else SKIPPED)


def require_numpy():
    """The numpy module."""
    try:
        import numpy
    except ImportError:
        lacking("Python's numpy")
    return numpy
