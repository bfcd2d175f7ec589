"""Run ``python -m benchmarks.NAME`` in this process, where most of what it imports is there already."""

from __future__ import annotations

import runpy
import sys
import warnings
from unittest.mock import patch


def run_command(name: str, *options: str) -> object:
    """Return the exit code of a benchmark's command, or the line that it ends with."""
    with warnings.catch_warnings(), patch.object(sys, "argv", [name, *options]):
        warnings.filterwarnings("ignore", ".* invoked without tokens under unit-test framework")
        warnings.filterwarnings("ignore", ".* found in sys.modules", RuntimeWarning)
        try:
            runpy.run_module(f"benchmarks.{name}", run_name="__main__")
        except SystemExit as ended:
            return ended.code or 0
    return 0
