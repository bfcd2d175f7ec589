"""``python -m benchmarks``: run every benchmark, one after another, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_FOLDER = Path(__file__).parent


def run_all(arguments: Sequence[str]) -> int:
    """Run each folder here that has a ``__main__.py`` with ``arguments``; return the worst exit code."""
    worst = 0
    for name in sorted(script.parent.name for script in _FOLDER.glob("*/__main__.py")):
        print(f"== benchmarks.{name}", flush=True)
        # Nothing but the names of this project's own folders is put into the command.
        command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
        worst = max(worst, subprocess.run(command, check=False, cwd=_FOLDER.parent).returncode)  # noqa: S603
    return worst


if __name__ == "__main__":
    sys.exit(run_all(sys.argv[1:]))
