"""``python -m benchmarks.recovery``: restart, print, and write the results."""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio
from cyclopts import App

from async_backfill._runner.scenario.model import ZipfSpec
from async_backfill._runner.scenario.zipf import zipf_keys
from async_backfill.errors import ScenarioError
from async_backfill.stores._eviction.orders import EVICTIONS, Eviction
from benchmarks.hit_ratios.replay import read_trace, trace_of
from benchmarks.recovery.experiment import FRACTIONS, restart
from benchmarks.recovery.plot import draw
from benchmarks.recovery.report import encode, print_restarts, verdict

if TYPE_CHECKING:
    from benchmarks.hit_ratios.replay import Trace
    from benchmarks.recovery.experiment import Restart

_RESULTS: Final = Path(__file__).parents[1] / "results"
_FLIGHTS: Final = Path(__file__).parents[2] / "data" / "flights_weather.keys.gz"
_QUICK_REQUESTS: Final = 12_000
_PANELS: Final = 3


def benchmark(
    *,
    traces: Path | None = None,
    eviction: Eviction | None = None,
    quick: bool = False,
    output_dir: Path | None = None,
) -> None:
    """Show the cost of a restart for the source, and the recovery by history.

    Parameters
    ----------
    traces:
        A folder of traces, NAME.keys or NAME.keys.gz, one key a line, in place of the flights and the
        weather and of a made-up stream of skewed popularity.
    eviction:
        One eviction order [all four].
    quick:
        Replay only the beginning of each trace, to see that everything works.
    output_dir:
        Where to write recovery.json and recovery.svg [benchmarks/results; with --traces or --quick nowhere].
    """
    if output_dir is None and traces is None and not quick:
        output_dir = _RESULTS
    orders = EVICTIONS if eviction is None else (eviction,)
    try:
        streams = [_shortened(trace) if quick else trace for trace in _read(traces)]
    except ScenarioError as error:
        sys.exit(f"error: {error}")
    with ProcessPoolExecutor() as workers:
        pending = [
            workers.submit(restart, trace, fraction, order)
            for trace in streams
            for fraction in FRACTIONS
            for order in orders
        ]
        results = [each.result() for each in pending]
    print_restarts(results, sys.stdout)
    print(verdict(results))
    if output_dir is not None:
        output_dir.mkdir(parents=True, exist_ok=True)
        (output_dir / "recovery.json").write_text(encode(results), encoding="utf-8")
        draw(_worth_drawing(results), output_dir / "recovery.svg")


def _read(folder: Path | None) -> list[Trace]:
    if folder is None:
        skewed = zipf_keys(ZipfSpec(count=100_000, keys=20_000, exponent=0.99, seed=1))
        return [anyio.run(read_trace, _FLIGHTS), trace_of("skewed", skewed)]
    files = sorted(path for pattern in ("*.keys", "*.keys.gz") for path in folder.glob(pattern))
    if not files:
        raise ScenarioError(f"{folder}: no traces, expected files named NAME.keys or NAME.keys.gz")
    return [anyio.run(read_trace, path) for path in files]


def _shortened(trace: Trace) -> Trace:
    return trace_of(trace.name, trace.requests[:_QUICK_REQUESTS])


def _worth_drawing(results: list[Restart]) -> list[Restart]:
    """Return one result of each trace with the default eviction, first those where a cache helps."""
    large = [result for result in results if result.fraction == max(FRACTIONS)]
    chosen: dict[str, Restart] = {}
    for result in sorted(large, key=lambda result: (not result.helps, EVICTIONS.index(result.eviction))):
        chosen.setdefault(result.trace, result)
    return list(chosen.values())[:_PANELS]


if __name__ == "__main__":
    App(name="python -m benchmarks.recovery", default_command=benchmark, version_flags=())()
