"""``python -m benchmarks.hit_cost``: hits with and without history, in turns, in one process."""

from __future__ import annotations

import json
import platform
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio
from cyclopts import App

from async_backfill import BackfillCache, BackfillPolicy, MappingSource

if TYPE_CHECKING:
    from collections.abc import Sequence

_RESULTS: Final = Path(__file__).parents[1] / "results"
_KEYS: Final = 10_000
_QUIET: Final = 10**9


def benchmark(*, quick: bool = False, output_dir: Path | None = None) -> None:
    """Show the cost of history for a lookup when 0 %, 1 % and 10 % of the lookups miss.

    Parameters
    ----------
    quick:
        A few rounds, to see that everything works.
    output_dir:
        Where to write hit_cost.json [benchmarks/results; with --quick nowhere].
    """
    if output_dir is None and not quick:
        output_dir = _RESULTS
    rounds = 3 if quick else 41
    found = {every: anyio.run(_ratios, every, rounds) for every in (0, 100, 10)}
    print("lookups with history, in the time of those without: median, and the middle half")
    results = {}
    for every, ratios in found.items():
        share = 1 / every if every else 0.0
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(f"{share:4.0%} misses  {middle:.3f}  ({low:.3f} to {high:.3f})")
        results[f"{share:.0%}"] = {"median": middle, "low": low, "high": high}
    if output_dir is not None:
        output_dir.mkdir(parents=True, exist_ok=True)
        machine = f"{platform.machine()}, Python {platform.python_version()}"
        text = json.dumps({"machine": machine, "ratios": results}, indent=1)
        (output_dir / "hit_cost.json").write_text(f"{text}\n", encoding="utf-8")


async def _ratios(every: int, rounds: int) -> list[float]:
    """Return the time of each round with history over that of the round without it before."""
    keys = range(_KEYS)
    source = MappingSource(dict.fromkeys(keys, True))
    plain = BackfillCache(source, capacity=_KEYS)
    history = BackfillCache(
        source, capacity=_KEYS, backfill=BackfillPolicy(selection="history", min_lookups=_QUIET)
    )
    async with plain, history:
        for cache in (plain, history):
            await cache.get_many(keys)
        return [
            await _seconds(history, keys, every) / await _seconds(plain, keys, every) for _ in range(rounds)
        ]


async def _seconds(cache: BackfillCache[int, bool], keys: Sequence[int], every: int) -> float:
    get = cache.get
    if every:
        for key in keys[::every]:
            await cache.invalidate(key)
    began = time.perf_counter()
    for key in keys:
        await get(key)
    return time.perf_counter() - began


if __name__ == "__main__":
    App(name="python -m benchmarks.hit_cost", default_command=benchmark, version_flags=())()
