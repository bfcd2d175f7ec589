"""A simulated server for a far tier (L2): values, leases, and subscriptions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias

from async_backfill.contracts import FarCopy, K, V
from async_backfill.outcomes import ABSENT

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from async_backfill.contracts import Clock
    from async_backfill.outcomes import Absent, Failed

    Watcher: TypeAlias = Callable[[Collection[K], Mapping[K, Absent | Failed]], None]

_NOTHING: Final = MappingProxyType[Any, Any]({})


@dataclass(frozen=True, slots=True)
class _Kept(Generic[V]):
    value: V
    since: float
    until: float


@dataclass(frozen=True, slots=True)
class _Lease:
    token: bytes
    until: float


class MemoryServer(Generic[K, V]):
    """A store of values and leases, each until it expires; all methods are synchronous."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._kept: dict[K, _Kept[V]] = {}
        self._leases: dict[K, _Lease] = {}
        self._watchers: list[Watcher[K]] = []
        self._inboxes: list[Callable[[object, Sequence[K] | None], None]] = []

    def __len__(self) -> int:
        """Return the number of values that have not expired."""
        return len(self.find(tuple(self._kept)))

    def find(self, keys: Iterable[K]) -> Mapping[K, FarCopy[V]]:
        """Return copies of those ``keys`` that are stored and have not expired."""
        now = self.clock()
        kept = {key: self._kept[key] for key in keys if key in self._kept}
        return {
            key: FarCopy(it.value, max(0.0, now - it.since)) for key, it in kept.items() if now < it.until
        }

    def keep(self, items: Mapping[K, V], ttl: float | None) -> None:
        """Store ``items`` for ``ttl`` seconds, and end the leases of their keys."""
        now = self.clock()
        until = math.inf if ttl is None else now + ttl
        self._kept.update((key, _Kept(value, now, until)) for key, value in items.items())
        self.end(items)

    def forget(self, keys: Iterable[K] | None) -> None:
        """Remove ``keys`` and their leases; ``None`` means every key."""
        gone = (*self._kept, *self._leases) if keys is None else tuple(keys)
        for key in gone:
            self._kept.pop(key, None)
        self.end(gone)

    def grant(
        self, keys: Iterable[K], token: bytes, lease: float, outdated: Collection[K]
    ) -> Mapping[K, bytes]:
        """Lease those of ``keys`` that are free for ``lease`` seconds; return the tokens of all leased ones.

        A key is free that has no lease, and no value unless it is ``outdated``.
        """
        self.end_overdue()
        until = self.clock() + lease
        wanted = tuple(keys)
        there = self.find(key for key in wanted if key not in outdated)
        for key in wanted:
            if key not in there and key not in self._leases:
                self._leases[key] = _Lease(token, until)
        self._tell((), _NOTHING)  # watchers must now wait for the end of these leases too
        return {key: self._leases[key].token for key in wanted if key in self._leases}

    def standing(self, tokens: Mapping[K, bytes]) -> Sequence[K]:
        """Return the keys of those ``tokens`` whose leases are still held."""
        self.end_overdue()
        return [
            key for key, token in tokens.items() if key in self._leases and self._leases[key].token == token
        ]

    def end(self, keys: Iterable[K], told: Mapping[K, Absent | Failed] = _NOTHING) -> None:
        """End the leases of ``keys`` and wake their watchers, who get what is ``told`` of these keys."""
        ended = [key for key in keys if self._leases.pop(key, None) is not None]
        for key in ended:
            if told.get(key) is ABSENT:
                self._kept.pop(key, None)
        if ended:
            self._tell(ended, {key: told[key] for key in ended if key in told})

    def end_overdue(self) -> None:
        """End the leases that have expired."""
        now = self.clock()
        self.end([key for key, lease in self._leases.items() if lease.until <= now])

    def next_end(self, keys: Iterable[K]) -> float:
        """Return the time when the first lease of ``keys`` expires; infinity when there is none."""
        return min((self._leases[key].until for key in keys if key in self._leases), default=math.inf)

    def watch(self, watcher: Watcher[K]) -> None:
        """Call ``watcher`` with the keys of leases that end and what is told; with none when leases begin."""
        self._watchers.append(watcher)

    def unwatch(self, watcher: Watcher[K]) -> None:
        """Stop calling ``watcher``."""
        self._watchers.remove(watcher)

    def subscribe(self, inbox: Callable[[object, Sequence[K] | None], None]) -> None:
        """Call ``inbox`` with the sender and the keys of each message."""
        self._inboxes.append(inbox)

    def publish(self, sender: object, keys: Sequence[K] | None) -> None:
        """Send a message to all inboxes."""
        for inbox in tuple(self._inboxes):
            inbox(sender, keys)

    def _tell(self, ended: Collection[K], told: Mapping[K, Absent | Failed]) -> None:
        for watcher in tuple(self._watchers):
            watcher(ended, told)
