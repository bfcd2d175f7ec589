"""``python -m benchmarks.thrashing``: measure, print, and write the results and their plot."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio
from cyclopts import App

from async_backfill.errors import ScenarioError
from benchmarks.thrashing.experiment import Settings, compare
from benchmarks.thrashing.plot import draw
from benchmarks.thrashing.report import encode, print_comparison
from benchmarks.thrashing.streams import Skew, flights_stream, skewed_stream, trace_stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.thrashing.experiment import Comparison
    from benchmarks.thrashing.streams import Stream

_RESULTS: Final = Path(__file__).parents[1] / "results"
_QUICK_SKEW: Final = Skew(keys=2_000, lookups=1_000)
_QUICK_LOOKUPS: Final = 5_000


def benchmark(*, trace: Path | None = None, quick: bool = False, output_dir: Path | None = None) -> None:
    """Show the cost of backfills that start too easily, or may evict keys in use.

    Parameters
    ----------
    trace:
        One more stream: a file with one key a line, plain or gzip. Its source is all of its keys, sorted.
    quick:
        Replay only the beginning of each stream, to see that everything works.
    output_dir:
        Where to write thrashing.json and thrashing.svg [benchmarks/results; with --trace or --quick nowhere].
    """
    settings = Settings()
    try:
        streams = anyio.run(_streams, trace, quick)
    except ScenarioError as error:
        sys.exit(f"error: {error}")
    if output_dir is None and trace is None and not quick:
        output_dir = _RESULTS
    if output_dir is not None:
        output_dir.mkdir(parents=True, exist_ok=True)
    comparisons: list[Comparison] = []
    for stream in streams:
        comparisons.append(anyio.run(compare, stream, settings))
        print_comparison(comparisons[-1], sys.stdout)
        sys.stdout.flush()
    if output_dir is not None:
        (output_dir / "thrashing.json").write_text(encode(comparisons, settings), encoding="utf-8")
        draw(comparisons, output_dir / "thrashing.svg")


async def _streams(trace: Path | None, quick: bool) -> Sequence[Stream]:  # noqa: FBT001 - anyio.run passes by position
    streams = [skewed_stream(_QUICK_SKEW if quick else Skew()), await flights_stream()]
    if trace is not None:
        streams.append(await trace_stream(trace))
    if quick:
        return [replace(stream, lookups=stream.lookups[:_QUICK_LOOKUPS]) for stream in streams]
    return streams


if __name__ == "__main__":
    App(name="python -m benchmarks.thrashing", default_command=benchmark, version_flags=())()
