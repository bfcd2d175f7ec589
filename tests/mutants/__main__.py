"""``python -m tests.mutants``: plant each bug of ``bugs.toml`` in a copy, and see whether a test fails.

The exit code is 0 when at least nine in ten are noticed. A bug whose place is not found is an error: the
code has moved on, and the list must follow.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PROJECT = Path(__file__).parents[2]
ENOUGH = 0.9


def planted(bug: dict, folder: Path) -> bool:
    """Copy the project into ``folder`` with ``bug`` in it; return whether its place was found once."""
    for name in ("async_backfill", "tests", "data", "benchmarks"):
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "pyproject.toml", folder)
    path = folder / "async_backfill" / bug["file"]
    text = path.read_text()
    path.write_text(text.replace(bug["find"], bug["replace"]))
    return text.count(bug["find"]) == 1


def verdict(bug: dict) -> str:
    """Return what became of ``bug``: noticed, NOT NOTICED or NOT PLANTED."""
    with tempfile.TemporaryDirectory() as folder:
        if not planted(bug, Path(folder)):
            return "NOT PLANTED"
        if missing := [test for test in bug["tests"] if not Path(folder, test).exists()]:
            return f"NO SUCH TESTS: {missing}"
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *bug["tests"]]
        try:
            ran = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=120)
        except subprocess.TimeoutExpired:
            return "noticed (it hangs)"
        return {0: "NOT NOTICED", 1: "noticed"}.get(ran.returncode, f"pytest failed: {ran.stdout[-300:]!r}")


def main() -> int:
    """Run the command line and return its exit code."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--only", default="", help="part of the name of the bugs to plant")
    options.add_argument("--jobs", type=int, default=2, help="bugs at once")
    chosen = options.parse_args()
    bugs = tomllib.loads(Path(__file__).with_name("bugs.toml").read_text())["bug"]
    bugs = [bug for bug in bugs if chosen.only in bug["name"]]
    noticed = 0
    with ThreadPoolExecutor(chosen.jobs) as workers:
        for bug, result in zip(bugs, workers.map(verdict, bugs), strict=True):
            noticed += result.startswith("noticed")
            print(f"{result:20} {bug['file']}: {bug['name']}", flush=True)
    print(f"{noticed} of {len(bugs)} noticed")
    return 0 if bugs and noticed >= ENOUGH * len(bugs) else 1


if __name__ == "__main__":
    sys.exit(main())
