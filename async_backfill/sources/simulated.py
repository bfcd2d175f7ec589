"""A simulated slow source: latency, jitter and errors, repeatable from a seed."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Generic

import anyio

from async_backfill._common.validation import real, seconds, whole
from async_backfill.contracts import K, Page, V
from async_backfill.sources.mapping import MappingSource

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from async_backfill.contracts import Seconds

__all__ = ["SimulatedError", "SimulatedSource"]


class SimulatedError(ConnectionError):
    """The error that a `SimulatedSource` raises on purpose."""


class SimulatedSource(Generic[K, V]):
    """A source over ``mapping`` with a given latency and error rate.

    One ``load_many`` call takes ``latency + key_latency * len(keys)`` seconds, plus up to
    ``jitter`` seconds, uniformly distributed; then it fails with the probability ``error_rate``. A
    page of a scan takes ``latency`` and ``jitter`` and never fails.

    :param seed: the start of two random generators, one for jitter and one for failures: switching one
        off leaves the other as it was.
    :param sleep: a replacement for ``anyio.sleep``; a test may pass one that only moves a clock.
    :raises ConfigurationError: for a negative or non-finite duration, or an ``error_rate`` that is
        not between 0.0 and 1.0.
    """

    def __init__(
        self,
        mapping: Mapping[K, V],
        *,
        latency: Seconds = 0.0,
        key_latency: Seconds = 0.0,
        jitter: Seconds = 0.0,
        error_rate: float = 0.0,
        seed: int = 0,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._rows = MappingSource(mapping)
        self._latency = seconds("latency", latency)
        self._key_latency = seconds("key_latency", key_latency)
        self._jitter = seconds("jitter", jitter)
        self._error_rate = real("error_rate", error_rate, least=0.0, most=1.0)
        # With one seed for both, failing calls would have the least jitter: see decision 10 in notes.md.
        self._jitter_draws = random.Random(f"jitter {whole('seed', seed, least=0)}")
        self._error_draws = random.Random(f"errors {seed}")
        self._sleep = sleep
        self.calls = 0
        self.keys = 0
        self.failures = 0

    def __len__(self) -> int:
        return len(self._rows)

    async def load_many(self, keys: Sequence[K], /) -> Mapping[K, V]:
        """Wait, then answer or raise `SimulatedError`; ``calls`` and ``keys`` are the totals so far."""
        self.calls += 1
        self.keys += len(keys)
        fails = self._error_draws.random() < self._error_rate
        await self._wait(self._key_latency * len(keys))
        if fails:
            self.failures += 1
            raise SimulatedError(f"simulated failure {self.failures} of call {self.calls}")
        return await self._rows.load_many(keys)

    async def scan(self, cursor: object | None, limit: int, /) -> Page[K]:
        """Wait, then return a page of the mapping's keys."""
        await self._wait(0.0)
        return await self._rows.scan(cursor, limit)

    async def _wait(self, keys_share: float) -> None:
        draw = self._jitter_draws.random() * self._jitter if self._jitter else 0.0
        duration = self._latency + keys_share + draw
        if duration:
            await self._sleep(duration)
