"""Where a workload is found by a sampler that looks a thousand times a second."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pyinstrument import Profiler
from pyinstrument.frame import Frame

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from benchmarks.profiles.workloads import Work

_EVERY: Final = 0.001


@dataclass(frozen=True, slots=True)
class Profile:
    """The share of the time that each function took itself, the largest first.

    A function's own time includes what it calls that is written in C.
    """

    workload: str
    lookups: int
    seconds: float
    samples: int
    shares: dict[str, float]


async def profile(
    name: str, workload: Callable[[], AbstractAsyncContextManager[Work]], *, seconds: float
) -> Profile:
    """Return the profile of ``workload``, repeated for ``seconds``; opening and warming up are left out."""
    lookups = 0
    sampler = Profiler(interval=_EVERY, async_mode="disabled", use_timing_thread=True)
    async with workload() as work:
        await work()
        began = time.perf_counter()
        sampler.start()
        try:
            while time.perf_counter() - began < seconds:
                lookups += await work()
        finally:
            session = sampler.stop()
    own: Counter[str] = Counter()
    for stack, spent in session.frame_records:
        frame = Frame(stack[-1])
        module = session.shorten_path(frame.file_path or "").removesuffix(".py").replace("/", ".")
        own[f"{module}:{frame.function}"] += spent
    return Profile(
        name,
        lookups,
        time.perf_counter() - began,
        session.sample_count,
        {function: spent / own.total() for function, spent in own.most_common()},
    )

