"""``python -m benchmarks.fleet``: simulate each size of the fleet, print, and write the results."""

from __future__ import annotations

import logging
import platform
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cyclopts import App

from async_backfill._runner.replay.virtual_time import run_virtually
from benchmarks.fleet.plan import FULL_RUN, QUICK_RUN, Plan
from benchmarks.fleet.plot import draw
from benchmarks.fleet.report import encode, print_fleet
from benchmarks.fleet.simulation import simulate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.fleet.counts import Counts

_RESULTS: Final = Path(__file__).parents[1] / "results"


def benchmark(*, quick: bool = False, output_dir: Path | None = None) -> None:
    """Show what a fleet asks of its source and its far tier (L2) as it grows.

    Parameters
    ----------
    quick:
        Small fleets, to see that everything works.
    output_dir:
        Where to write fleet.json and fleet.svg [benchmarks/results; with --quick nowhere].
    """
    if output_dir is None and not quick:
        output_dir = _RESULTS
    with _silent(logging.getLogger("async_backfill")):
        results = measure(QUICK_RUN if quick else FULL_RUN)
    print_fleet(results, sys.stdout)
    if output_dir is not None:
        output_dir.mkdir(parents=True, exist_ok=True)
        (output_dir / "fleet.json").write_text(
            encode(results, f"virtual time, Python {platform.python_version()}"), encoding="utf-8"
        )
        draw(results, output_dir / "fleet.svg")


@contextmanager
def _silent(logger: logging.Logger) -> Iterator[None]:
    """Log nothing: a thousand caches say a thousand times that their far tier is down; that is counted."""
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def measure(plan: Plan) -> dict[int, dict[str, Counts]]:
    """Return what each size of the fleet did in each phase."""
    return {size: run_virtually(simulate, plan, size) for size in plan.sizes}


if __name__ == "__main__":
    App(name="python -m benchmarks.fleet", default_command=benchmark, version_flags=())()
