"""The samplers behind the throttles: what the pages took, how source and store fare, what the clock says."""

from __future__ import annotations

import time
from collections import deque
from functools import partial
from statistics import quantiles
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit
from urllib.request import urlopen

from anyio import current_time, sleep, to_thread

from async_backfill._common.error_text import error_line
from async_backfill._jobs._running.throttles import Readings, minutes_of
from async_backfill.errors import ConfigurationError
from async_backfill.warming._calls import in_time

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from async_backfill._jobs._ends import JobEnds
    from async_backfill._jobs._spec import ThrottleLimits
    from async_backfill.contracts import StoreState

_EVERY: Final = 1.0
_SECONDS: Final = 5.0
_PAGES: Final = 100
_FIRST_MINUTE: Final = 60.0
_MOST_FIRST: Final = 1000
_LONGEST_ANSWER: Final = 1000


class Meter:
    """Measures what the throttles of a job look at.

    :param is_busy: whether loads of this process's caches wait for the source; they come first.
    :param minute: the minute of the day, local time.
    :raises ConfigurationError: when a limit cannot be measured.
    """

    def __init__(
        self,
        ends: JobEnds[Any, Any],
        limits: ThrottleLimits,
        *,
        is_busy: Callable[[], bool],
        minute: Callable[[], int],
        read_url: Callable[[str], Awaitable[float]],
    ) -> None:
        if limits.hours is not None:
            minutes_of(limits.hours)
        if limits.load_url is not None and urlsplit(limits.load_url).scheme not in {"http", "https"}:
            raise ConfigurationError("load_url", "is not http:// or https://")
        self._facts = ends.source_facts
        self._hidden = ends.hidden
        self._limits = limits
        self._is_busy = is_busy
        self._minute = minute
        self._read_url = read_url
        self._began = current_time()
        self._reads: deque[float] = deque(maxlen=_PAGES)
        self._first: deque[float] = deque(maxlen=_MOST_FIRST)
        self._writes: deque[float] = deque(maxlen=_PAGES)
        self._outcomes: deque[bool] = deque(maxlen=_PAGES)
        self._store: StoreState | None = None
        self._evicted_before: int | None = None
        self._lag: tuple[float | None, str | None] = (None, None)
        self._load: tuple[float | None, str | None] = (None, None)
        self._lag_at = self._began

    def read(self, seconds: float) -> None:
        """Note how long the read of a page took."""
        if not self._first:  # it may have waited for its hours before
            self._began = current_time()
        self._reads.append(seconds)
        if current_time() - self._began <= _FIRST_MINUTE:
            self._first.append(seconds)

    def written(self, seconds: float) -> None:
        """Note how long the write of a page took."""
        self._writes.append(seconds)
        self._outcomes.append(True)

    def failed(self) -> None:
        """Note that a page could not be read or written."""
        self._outcomes.append(False)

    def store(self, state: StoreState) -> None:
        """Note how the store fares."""
        self._store = state
        if self._evicted_before is None:
            self._evicted_before = state.evicted

    @property
    def evicted(self) -> int:
        """How many entries the store has evicted since this worker began."""
        now = None if self._store is None else self._store.evicted
        return 0 if now is None or self._evicted_before is None else max(0, now - self._evicted_before)

    @property
    def lag(self) -> float:
        """The seconds by which the source may lag behind by now; 0.0 for one that is no replica."""
        lag, _ = self._lag
        return 0.0 if lag is None else lag + current_time() - self._lag_at

    def readings(self) -> Readings:
        """Return what was measured last."""
        store, first = self._store, self._first
        has_limit = store is not None and store.used is not None and store.limit
        return Readings(
            minute=self._minute() if self._limits.hours is not None else None,
            source_p95=percentile_95(self._reads) if self._limits.source_latency is not None else None,
            source_first=percentile_95(first) if self._limits.source_latency is not None else None,
            lag=self._lag[0],
            lag_error=self._lag[1],
            load=self._load[0],
            load_error=self._load[1],
            memory=store.used / store.limit if has_limit else None,  # type: ignore[union-attr,operator] # checked
            evicted=self.evicted,
            store_p95=percentile_95(self._writes) if self._limits.store_latency is not None else None,
            pages=len(self._outcomes),
            failed=len(self._outcomes) - sum(self._outcomes),
            is_busy=self._is_busy(),
        )

    def forget_failures(self) -> None:
        """Let the next page show whether it is better now: who waits has no other way to find out."""
        self._outcomes.clear()
        self._writes.clear()
        self._reads.clear()

    async def run(self) -> None:
        """Ask the source how it fares, each second, until cancelled."""
        while True:
            await sleep(_EVERY)
            await self.sample()

    async def sample(self) -> None:
        """Ask the source once how it fares."""
        facts, limits = self._facts, self._limits
        if facts is not None:
            begin = current_time()
            self._lag = await self._measured(facts.lag)
            self._lag_at = begin
        if limits.max_load is None:
            return
        if limits.load_url is not None:
            self._load = await self._measured(partial(self._read_url, limits.load_url))
        elif limits.load_query is not None and facts is not None:
            self._load = await self._measured(partial(facts.load, limits.load_query))

    async def _measured(self, call: Callable[[], Awaitable[float | None]]) -> tuple[float | None, str | None]:
        value, error = await in_time(call, _SECONDS, "a look at the source")
        return value, None if error is None else self._hidden(error_line(error))


async def number_at(url: str) -> float:
    """Return the number that is the answer of ``url``."""

    def read() -> float:
        with urlopen(url, timeout=_SECONDS) as answer:  # noqa: S310 - http or https, see `Meter`
            return float(answer.read(_LONGEST_ANSWER))

    return await to_thread.run_sync(read, abandon_on_cancel=True)


def minute_of_day() -> int:
    """Return the minute of the day, local time."""
    now = time.localtime()
    return 60 * now.tm_hour + now.tm_min


def percentile_95(seconds: Sequence[float]) -> float | None:
    """Return the 95th percentile of ``seconds``, at most the largest one; ``None`` if there are none."""
    if not seconds:
        return None
    return quantiles(seconds, n=20, method="inclusive")[-1] if len(seconds) > 1 else seconds[0]
