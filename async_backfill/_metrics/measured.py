"""The caches that are measured: each by its name, its statistics on demand, and its seconds as they come."""

from __future__ import annotations

import gc
from abc import abstractmethod
from typing import TYPE_CHECKING
from weakref import ref

from async_backfill._metrics.of_caches import BACKFILL, LOAD, WAIT
from async_backfill.errors import ConfigurationError
from async_backfill.events import BackfillAudited, LoadFinished
from async_backfill.outcomes import LoadCause
from async_backfill.stats import CacheMeter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias
    from weakref import ReferenceType

    from async_backfill._metrics.facts import Fact, Timing
    from async_backfill.events import Event
    from async_backfill.stats import HasStats, Stats

    Record: TypeAlias = Callable[[float], object]


class MeasuredCaches(CacheMeter):
    """An observer of caches that knows their figures; what it is told to is up to its subclass.

    A cache that is no more has none.
    """

    def __init__(self) -> None:
        self._caches: dict[str, ReferenceType[HasStats]] = {}
        self._recorders: dict[tuple[str, ...], Record] = {}
        self._counted: dict[tuple[str, str, tuple[str, ...]], float] = {}

    def watch(self, name: str | None, cache: HasStats, /) -> Record:
        """Take note of ``cache``; it calls this itself when it is made."""
        if name is None:
            problem = "is None, and metrics tell caches apart by their names; pass name=..."
            raise ConfigurationError("name", problem)
        if self._is_alive(name):
            gc.collect()  # one that was dropped may still be there: it is part of a cycle
            if self._is_alive(name):
                problem = f"{name!r} is that of another cache with the same metrics; give each its own"
                raise ConfigurationError("name", problem)
        self._caches[name] = ref(cache)
        known = tuple(self._counted)  # another thread may scrape meanwhile
        for place in [place for place in known if place[0] == name]:
            del self._counted[place]
        for cause in LoadCause:
            self._recorders[LOAD.name, name, cause.value] = self._recorder(LOAD, name, cause.value)
        self._recorders[BACKFILL.name, name] = self._recorder(BACKFILL, name)
        return self._recorder(WAIT, name)

    def __call__(self, event: Event, /) -> None:
        """Record the seconds of a load or of a backfill."""
        if isinstance(event, LoadFinished):
            self._recorders[LOAD.name, event.cache or "", event.cause.value](event.seconds)
        elif isinstance(event, BackfillAudited) and event.seconds is not None:
            self._recorders[BACKFILL.name, event.cache or ""](event.seconds)

    @abstractmethod
    def _recorder(self, timing: Timing, *labels: str) -> Record:
        """Return what records seconds of ``timing``, for a cache and the other ``labels``."""

    def _now(self) -> list[tuple[str, Stats]]:
        """Return the statistics of each cache, by its name."""
        alive = [(name, kept()) for name, kept in tuple(self._caches.items())]
        return [(name, cache.stats) for name, cache in alive if cache is not None]

    def _values(
        self, fact: Fact[Stats], now: list[tuple[str, Stats]]
    ) -> Iterator[tuple[tuple[str, ...], float]]:
        """Return the values of ``fact``, each with the name of its cache and the other labels."""
        for name, stats in now:
            for labels, value in fact.read(stats):
                yield (name, *labels), self._grown(fact, name, labels, value)

    def _grown(self, fact: Fact[Stats], name: str, labels: tuple[str, ...], value: float) -> float:
        """Return ``value``, for a counter not less than before: another thread may read what is half counted.

        Who collects would take a number that goes down for a restart, and count all of it again.
        """
        if fact.kind == "counter":
            place = name, fact.name, labels
            value = self._counted[place] = max(value, self._counted.get(place, 0.0))
        return value

    def _is_alive(self, name: str) -> bool:
        kept = self._caches.get(name)
        return kept is not None and kept() is not None
