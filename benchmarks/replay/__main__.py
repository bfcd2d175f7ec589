"""``python -m benchmarks.replay``: a replay beside a plain loop, in turns, in one process."""

from __future__ import annotations

import json
import platform
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import anyio
from cyclopts import App

from async_backfill._runner.replay.lookups import replay
from async_backfill._runner.scenario.build import make_cache
from async_backfill._runner.scenario.model import Settings, ZipfSpec
from async_backfill._runner.scenario.requests import Requests
from async_backfill._runner.scenario.zipf import zipf_keys
from async_backfill.sources.mapping import MappingSource

_RESULTS: Final = Path(__file__).parents[1] / "results"
_SHARES: Final = (1.0, 0.8)
_CAPACITY: Final = 2_820


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """The processor time of a lookup, in microseconds, and that of the plain loop."""

    hit_rate: float
    replay: float
    loop: float


def benchmark(*, quick: bool = False, output_dir: Path | None = None) -> None:
    """Show the processor time of a lookup in a replay when all, and when four in five of the lookups hit.

    Parameters
    ----------
    quick:
        A few lookups, to see that everything works.
    output_dir:
        Where to write replay.json [benchmarks/results; with --quick nowhere].
    """
    if output_dir is None and not quick:
        output_dir = _RESULTS
    lookups, rounds = (2_000, 1) if quick else (100_000, 9)
    costs = [measure(keys_of(share, lookups), rounds) for share in _SHARES]
    print("processor time of a lookup, in microseconds: hit rate, a replay, a loop over a dict")
    for cost in costs:
        print(f"{cost.hit_rate:7.1%}  {cost.replay:6.2f}  {cost.loop:6.2f}")
    if output_dir is not None:
        output_dir.mkdir(parents=True, exist_ok=True)
        machine = f"{platform.machine()}, Python {platform.python_version()}"
        text = json.dumps({"machine": machine, "costs": [asdict(cost) for cost in costs]}, indent=1)
        (output_dir / "replay.json").write_text(f"{text}\n", encoding="utf-8")


def keys_of(share: float, lookups: int) -> list[str]:
    """Return keys of which about ``share`` are found in a FIFO cache of 2,820."""
    if share == 1.0:
        return ["key_0"] * lookups
    return zipf_keys(ZipfSpec(count=lookups, keys=8_000, exponent=1.0))


def measure(keys: list[str], rounds: int) -> Cost:
    """Return the cost of a lookup of ``keys``, the median of ``rounds``."""
    rows = dict.fromkeys(keys, 1)
    found = [(anyio.run(_replayed, keys, rows), _looped(keys, rows)) for _ in range(rounds)]
    hit_rates = {hit_rate for pair in found for hit_rate, _ in pair}
    assert len(hit_rates) == 1  # noqa: S101 - both did the same
    ours, plain = (statistics.median(seconds for _, seconds in column) for column in zip(*found, strict=True))
    scale = 1e6 / len(keys)
    return Cost(hit_rate=hit_rates.pop(), replay=ours * scale, loop=plain * scale)


async def _replayed(keys: list[str], rows: dict[str, int]) -> tuple[float, float]:
    settings = Settings(capacity=_CAPACITY, max_backfills=0)
    async with make_cache(MappingSource(rows), settings) as cache:
        begin = time.process_time()
        await replay(cache, Requests(keys=keys), concurrency=1, keep=False, progress=lambda *_: None)
        seconds = time.process_time() - begin
        return cache.stats.hit_rate, seconds


def _looped(keys: list[str], rows: dict[str, int]) -> tuple[float, float]:
    begin = time.process_time()
    held: dict[str, int] = {}
    hits = 0
    for key in keys:
        if key in held:
            hits += 1
            continue
        if len(held) >= _CAPACITY:
            del held[next(iter(held))]
        held[key] = rows[key]
    return hits / len(keys), time.process_time() - begin


if __name__ == "__main__":
    App(name="python -m benchmarks.replay", default_command=benchmark, version_flags=())()
