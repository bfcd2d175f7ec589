"""``python -m benchmarks.tracing``: what tracing costs, without a provider of spans and with one."""

from __future__ import annotations

import gc
import json
import platform
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio
from cyclopts import App
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import ProxyTracerProvider

from async_backfill import BackfillCache, MappingSource
from async_backfill.otel import Tracing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from async_backfill.contracts import Tracer

    Work = Callable[[BackfillCache[int, int], int], Awaitable[None]]

_RESULTS: Final = Path(__file__).parents[1] / "results"
_KEYS: Final = 2_000
_PLAIN: Final = "without tracing"
_AGAIN: Final = "the same again"


def benchmark(*, quick: bool = False, output_dir: Path | None = None) -> None:
    """Show the processor time of lookups with tracing, over that of the same without it.

    Parameters
    ----------
    quick:
        A few rounds, to see that everything works.
    output_dir:
        Where to write tracing.json [benchmarks/results; with --quick nowhere].
    """
    if output_dir is None and not quick:
        output_dir = _RESULTS
    rounds = 3 if quick else 41
    works: dict[str, Work] = {"hit": _hits, "lone miss": _lone, "stampede": _stampede, "get_many": _many}
    results: dict[str, dict[str, float]] = {}
    for name, work in works.items():
        results[name] = anyio.run(_ratios, work, rounds)
        shown = ", ".join(f"{title} {ratio:.2f}" for title, ratio in results[name].items())
        print(f"{name:10}  {shown}")
    if output_dir is not None:
        output_dir.mkdir(parents=True, exist_ok=True)
        machine = f"{platform.machine()}, Python {platform.python_version()}"
        text = json.dumps({"machine": machine, "ratios": results}, indent=1)
        (output_dir / "tracing.json").write_text(f"{text}\n", encoding="utf-8")


async def _ratios(work: Work, rounds: int) -> dict[str, float]:
    """Return the median of the ratios of all rounds, for each way to trace."""
    tracers: dict[str, Tracer | None] = {
        _PLAIN: None,
        _AGAIN: None,
        "no provider": Tracing(ProxyTracerProvider()),
        "a provider": Tracing(TracerProvider(shutdown_on_exit=False)),
    }
    taken: dict[str, list[float]] = {title: [] for title in tracers}
    titles = list(tracers)
    for number in range(rounds):
        first = number % len(titles)
        for title in titles[first:] + titles[:first]:
            taken[title].append(await _seconds(work, tracers[title]))
    return {
        title: round(statistics.median(_over(seconds, taken[_PLAIN])), 3)
        for title, seconds in taken.items()
        if title != _PLAIN
    }


def _over(seconds: list[float], plain: list[float]) -> list[float]:
    return [one / other for one, other in zip(seconds, plain, strict=True)]


async def _seconds(work: Work, tracer: Tracer | None) -> float:
    source = MappingSource({key: key for key in range(2 * _KEYS)})
    async with BackfillCache(source, tracing=tracer) as cache:
        await cache.get_many(range(_KEYS, 2 * _KEYS))
        for key in range(64):  # workers, and the experience of uvloop
            await cache.get(key)
        await cache.invalidate_many(range(_KEYS))
        gc.collect()
        began = time.thread_time()
        await work(cache, _KEYS)
        return time.thread_time() - began


async def _hits(cache: BackfillCache[int, int], keys: int) -> None:
    get = cache.get
    for _ in range(10):
        for key in range(keys, 2 * keys):
            await get(key)


async def _lone(cache: BackfillCache[int, int], keys: int) -> None:
    get = cache.get
    for key in range(keys):
        await get(key)


async def _stampede(cache: BackfillCache[int, int], keys: int) -> None:
    async with anyio.create_task_group() as tasks:
        for number in range(keys):
            tasks.start_soon(cache.get, number % 100)


async def _many(cache: BackfillCache[int, int], keys: int) -> None:
    for start in range(0, keys, 100):
        await cache.get_many(range(start, start + 100))


if __name__ == "__main__":
    App(name="python -m benchmarks.tracing", default_command=benchmark, version_flags=())()
