"""``python -m benchmarks.hit_ratios``: measure, print, and write the results."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio
from cyclopts import App

from async_backfill.errors import ScenarioError
from benchmarks.hit_ratios.reference import read_references
from benchmarks.hit_ratios.replay import read_trace, replays, trace_of
from benchmarks.hit_ratios.report import encode, print_largest, print_trace

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.hit_ratios.replay import Replay, Trace

_RESULTS: Final = Path(__file__).parents[1] / "results"
_FLIGHTS: Final = Path(__file__).parents[2] / "data" / "flights_weather.keys.gz"
_PATTERNS: Final = ("*.keys", "*.keys.gz")
_QUICK_REQUESTS: Final = 5_000


def benchmark(*, traces: Path | None = None, quick: bool = False, output_dir: Path | None = None) -> None:
    """Show the hit ratio of a cache under each eviction order.

    Parameters
    ----------
    traces:
        A folder of traces, NAME.keys or NAME.keys.gz, one key a line, in place of the flights and the
        weather. A file reference_hit_ratios.csv in it is compared with.
    quick:
        Replay only the beginning of each trace, to see that everything works.
    output_dir:
        Where to write hit_ratios.json [benchmarks/results; with --traces or --quick nowhere].
    """
    if output_dir is None and traces is None and not quick:
        output_dir = _RESULTS
    if output_dir is not None:
        output_dir.mkdir(parents=True, exist_ok=True)
    results: list[Replay] = []
    try:
        references = read_references(_FLIGHTS.parent if traces is None else traces)
        for trace in _read([_FLIGHTS] if traces is None else _files(traces), quick=quick):
            measured = list(replays(trace))
            print_trace(measured, references, sys.stdout)
            sys.stdout.flush()
            results += measured
    except ScenarioError as error:
        sys.exit(f"error: {error}")
    print_largest(results, references, sys.stdout)
    if output_dir is not None:
        (output_dir / "hit_ratios.json").write_text(encode(results, references), encoding="utf-8")


def _files(folder: Path) -> Sequence[Path]:
    files = sorted(path for pattern in _PATTERNS for path in folder.glob(pattern))
    if not files:
        raise ScenarioError(f"{folder}: no traces, expected files named {' or '.join(_PATTERNS)}")
    return files


def _read(files: Sequence[Path], *, quick: bool) -> Iterator[Trace]:
    for path in files:
        trace = anyio.run(read_trace, path)
        yield trace_of(trace.name, trace.requests[:_QUICK_REQUESTS]) if quick else trace


if __name__ == "__main__":
    App(name="python -m benchmarks.hit_ratios", default_command=benchmark, version_flags=())()
