"""What happened to which keys lately, as a cache has told its observers."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from async_backfill.events import KeysEvicted, KeysExpired, KeysInvalidated, KeysPut, LoadFinished

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Iterator

    from async_backfill.contracts import Clock
    from async_backfill.events import Event

_MOST_KEYS: Final = 10_000


@dataclass(slots=True, frozen=True)
class Happened:
    """What happened to some keys: ``what``, and from when to when, by the clock of the cache."""

    what: str
    keys: Collection[Hashable]
    time: float
    begun: float
    is_arrival: bool


class Recent:
    """The latest events about keys, of at most 10,000 keys in all."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._latest: deque[Happened] = deque()
        self._keys = 0

    def note(self, event: Event) -> None:
        """Keep what ``event`` says of keys."""
        match event:
            case LoadFinished(found=keys, along=along, seconds=seconds):
                if along:
                    keys = tuple([key for key in keys if key not in along])
                    self.arrived("backfill", along, seconds)
                self.arrived(event.cause.value, keys, seconds)
            case KeysPut(keys=keys):
                self.arrived("put", keys)
            case KeysInvalidated(keys=None):
                self._latest.clear()
                self._keys = 0
            case KeysInvalidated(keys=keys) if keys is not None:
                self._add("invalidated", keys, 0.0, is_arrival=False)
            case KeysEvicted(keys=keys):
                self._add("evicted", keys, 0.0, is_arrival=False)
            case KeysExpired(keys=keys):
                self._add("expired", keys, 0.0, is_arrival=False)

    def arrived(self, how: str, keys: Collection[Hashable], seconds: float = 0.0) -> None:
        """Take note that ``keys`` came, which took so many seconds."""
        self._add(how, keys, seconds, is_arrival=True)

    def arrival(self, key: Hashable) -> Happened | None:
        """Return how ``key`` came the last time, unless it has left since; ``None`` when nobody knows."""
        of_key = self._of(key)
        latest = next(of_key, None)
        before = next(of_key, None)
        # A load is not kept when somebody changed the key meanwhile.
        while latest is not None and before is not None and before.time > latest.begun:
            latest, before = before, next(of_key, None)
        return latest if latest is not None and latest.is_arrival else None

    def departure(self, key: Hashable) -> Happened | None:
        """Return why ``key`` left the last time; ``None`` when that is not known."""
        return next((one for one in self._of(key) if not one.is_arrival), None)

    def seconds_since(self, happened: Happened) -> float:
        """Return how long ago that was."""
        return self._clock() - happened.time

    def _of(self, key: Hashable) -> Iterator[Happened]:
        return (one for one in reversed(tuple(self._latest)) if key in one.keys)

    def _add(self, what: str, keys: Collection[Hashable], seconds: float, *, is_arrival: bool) -> None:
        if not keys or len(keys) > _MOST_KEYS:
            return
        now = self._clock()
        self._latest.append(Happened(what, keys, now, now - seconds, is_arrival))
        self._keys += len(keys)
        while self._keys > _MOST_KEYS:
            self._keys -= len(self._latest.popleft().keys)
