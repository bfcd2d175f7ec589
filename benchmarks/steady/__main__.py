"""``python -m benchmarks.steady``: replay, print, and write the results."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cyclopts import App
from rich.console import Console
from rich.table import Table

from async_backfill.errors import ScenarioError
from benchmarks.hit_ratios.replay import trace_of
from benchmarks.recovery.streams import read_streams
from benchmarks.steady.experiment import FRACTIONS, ORDERS, steady

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.steady.experiment import Steady

_RESULTS: Final = Path(__file__).parents[1] / "results"
_QUICK_REQUESTS: Final = 6_000


def benchmark(*, traces: Path | None = None, quick: bool = False, output_dir: Path | None = None) -> None:
    """Show the gain of successors in steady traffic, and check that nothing does harm.

    Parameters
    ----------
    traces:
        A folder of traces, NAME.keys or NAME.keys.gz, one key a line, in place of the flights and the
        weather and of three made-up streams.
    quick:
        Replay only the beginning of each trace, to see that everything works.
    output_dir:
        Where to write steady.json [benchmarks/results; with --traces or --quick nowhere].
    """
    if output_dir is None and traces is None and not quick:
        output_dir = _RESULTS
    try:
        streams = read_streams(traces)
    except ScenarioError as error:
        sys.exit(f"error: {error}")
    if quick:
        streams = [trace_of(trace.name, trace.requests[:_QUICK_REQUESTS]) for trace in streams]
    with ProcessPoolExecutor() as workers:
        pending = [
            workers.submit(steady, trace, fraction, order)
            for trace in streams
            for fraction in FRACTIONS
            for order in ORDERS
        ]
        results = [each.result() for each in pending]
    _print(results)
    if output_dir is not None:
        output_dir.mkdir(parents=True, exist_ok=True)
        text = json.dumps([asdict(result) for result in results], indent=1)
        (output_dir / "steady.json").write_text(f"{text}\n", encoding="utf-8")


def _print(results: Sequence[Steady]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    for heading in ("trace", "capacity", "order", "hit ratio", "late"):
        table.add_column(heading, justify="left" if heading in {"trace", "order"} else "right")
    for way in ("successors", "source order", "history"):
        table.add_column(way, justify="right")
    harmed = []
    for result in results:
        nothing, *others = result.runs
        cells = [
            f"{run.hit_ratio - nothing.hit_ratio:+.3f} {run.late - nothing.late:+.3f} "
            f"x{run.keys / nothing.keys:.2f}"
            for run in others
        ]
        size = f"{result.fraction:.0%} = {result.capacity:,}"
        figures = (f"{nothing.hit_ratio:.3f}", f"{nothing.late:.3f}")
        table.add_row(result.trace, size, result.eviction, *figures, *cells)
        harmed += [
            f"{result.trace} {result.fraction:.0%} {result.eviction} {run.way}"
            for run in others
            if result.harms(run)
        ]
    Console(file=sys.stdout, highlight=False, width=130).print(table)
    print("gain of hit ratio, gain in the second half, keys read in those read without")
    print(f"harmed: {', '.join(harmed) or 'none'}")


if __name__ == "__main__":
    App(name="python -m benchmarks.steady", default_command=benchmark, version_flags=())()
