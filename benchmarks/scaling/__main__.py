"""``python -m benchmarks.scaling``: measure each size, print, and write the results."""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cyclopts import App

from async_backfill.stores._eviction.orders import EVICTIONS
from benchmarks.scaling.all_hit import all_hit
from benchmarks.scaling.crowds import others_load, waiters
from benchmarks.scaling.isolation import free_memory, in_a_process
from benchmarks.scaling.many import many
from benchmarks.scaling.plan import FULL_RUN, QUICK_RUN, Plan
from benchmarks.scaling.plot import draw
from benchmarks.scaling.report import Results, encode, print_results
from benchmarks.scaling.sizes import at_size
from benchmarks.scaling.tails import tails

if TYPE_CHECKING:
    from async_backfill.stores._eviction.orders import Eviction

_RESULTS: Final = Path(__file__).parents[1] / "results"
_BYTES_AN_ENTRY: Final = 1_000
"""More than what an entry takes in the caches and the floors that are there at once, in any order."""


def benchmark(*, quick: bool = False, output_dir: Path | None = None) -> None:
    """Show the cost of a lookup for more entries, more waiting tasks, and more keys in a call.

    Parameters
    ----------
    quick:
        Small sizes and few rounds, to see that everything works.
    output_dir:
        Where to write scaling.json and scaling.svg [benchmarks/results; with --quick nowhere].
    """
    if output_dir is None and not quick:
        output_dir = _RESULTS
    results = measure(QUICK_RUN if quick else FULL_RUN)
    print_results(results, sys.stdout)
    if output_dir is not None:
        output_dir.mkdir(parents=True, exist_ok=True)
        machine = f"{platform.machine()}, Python {platform.python_version()}"
        (output_dir / "scaling.json").write_text(encode(results, machine), encoding="utf-8")
        draw(results, output_dir / "scaling.svg")


def measure(plan: Plan) -> Results:
    """Return the results of ``plan``, each size measured in a process of its own."""
    results = Results()
    for size in plan.entries:
        for order in EVICTIONS:
            _entries(plan, order, size, results)
    for size in plan.crowds:
        _crowd(plan, size, results)
    return results


def _entries(plan: Plan, order: Eviction, size: int, results: Results) -> None:
    """Measure an eviction order at a size, if there is enough memory."""
    free = free_memory()
    if free is not None and free < size * _BYTES_AN_ENTRY:
        results.skipped.append(
            f"{order}, {size:,} entries: left out, {free / 1e9:.1f} GB of memory are free, "
            f"{size * _BYTES_AN_ENTRY / 1e9:.1f} GB may be needed"
        )
        return
    points = in_a_process(at_size, order, size, rounds=plan.rounds, hits=plan.hits, misses=plan.misses)
    slowest = in_a_process(tails, order, size, misses=plan.single_misses)
    hit = in_a_process(all_hit, order, size, times=plan.times_all_hit(size))
    if points is None or slowest is None or hit is None:
        results.skipped.append(f"{order}, {size:,} entries: not all was measured, a process was ended")
    results.points += points or ()
    results.tails += (*(slowest or ()), *(() if hit is None else (hit,)))


def _crowd(plan: Plan, size: int, results: Results) -> None:
    rounds = plan.crowd_rounds(size)
    one_key = in_a_process(waiters, size, rounds=rounds)
    loading = in_a_process(others_load, size, rounds=rounds)
    one_call = in_a_process(many, size, rounds=rounds)
    if one_key is None or loading is None or one_call is None:
        results.skipped.append(f"{size:,} at once: not all was measured, a process was ended")
    results.points += (*(() if one_key is None else (one_key,)), *(one_call or ()), *(loading or ()))


if __name__ == "__main__":
    App(name="python -m benchmarks.scaling", default_command=benchmark, version_flags=())()
