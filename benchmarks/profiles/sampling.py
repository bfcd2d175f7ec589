"""Profile a workload with a sampler, a thousand times a second."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pyinstrument import Profiler
from pyinstrument.frame import Frame

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from pyinstrument.session import Session

    from benchmarks.profiles.workloads import Work

_EVERY: Final = 0.001
_SHARE_WITHOUT: Final = 0.25


@dataclass(frozen=True, slots=True)
class Profile:
    """The share of each function's own time, in descending order.

    What is written in C stands by itself too, as ``<built-in>``. ``nanoseconds`` is what a lookup takes;
    ``slowdown`` is how many times as long it took under the sampler, which has to see every call.
    """

    workload: str
    nanoseconds: float
    slowdown: float
    samples: int
    shares: dict[str, float]


async def profile(
    name: str, workload: Callable[[], AbstractAsyncContextManager[Work]], *, seconds: float
) -> Profile:
    """Return the profile of ``workload``, repeated for ``seconds``; opening and warming up do not count.

    It runs without the sampler first, for a quarter of that time, to tell what the sampler costs.
    """
    async with workload() as work:
        await work()
        alone = await _repeat(work, seconds * _SHARE_WITHOUT)
        watched, session = await _sampled(work, seconds)
        while not session.frame_records:  # on a busy machine the sampler may not come to look in a short time
            seconds *= 2
            watched, session = await _sampled(work, seconds)
    return Profile(name, alone, watched / alone, session.sample_count, _own_shares(session))


async def _sampled(work: Work, seconds: float) -> tuple[float, Session]:
    """Repeat ``work`` under the sampler; return the nanoseconds of a lookup, and what was seen."""
    sampler = Profiler(interval=_EVERY, async_mode="disabled", use_timing_thread=True)
    sampler.start()
    try:
        nanoseconds = await _repeat(work, seconds)
    finally:
        session = sampler.stop()
    return nanoseconds, session


async def _repeat(work: Work, seconds: float) -> float:
    """Repeat ``work`` for ``seconds``, at least once; return the nanoseconds per lookup."""
    lookups = 0
    began = now = time.perf_counter_ns()
    while not lookups or now - began < seconds * 1e9:
        lookups += await work()
        now = time.perf_counter_ns()
    return (now - began) / lookups


def _own_shares(session: Session) -> dict[str, float]:
    """Return the share of each ``module:function`` at the top of the stack."""
    own: defaultdict[str, float] = defaultdict(float)
    for stack, spent in session.frame_records:
        frame = Frame(stack[-1])
        module = session.shorten_path(frame.file_path or "").removesuffix(".py").replace("/", ".")
        method = f"{frame.class_name}.{frame.function}" if frame.class_name else frame.function
        own[f"{module}:{method}"] += spent
    total = sum(own.values())
    largest_first = sorted(own, key=own.__getitem__, reverse=True)
    return {function: own[function] / total for function in largest_first}
