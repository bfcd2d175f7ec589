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
_RANDOM: Final = 12  # bytes of a token; see `Leases`


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

        A key is free that has no value, unless it is ``outdated``, and no lease, unless ``token`` takes it
        over or it lasts longer than ``lease``.
        """
        self.end_overdue()
        until = self.clock() + lease
        wanted = tuple(keys)
        there = self.find(key for key in wanted if key not in outdated)
        for key in wanted:
            held = self._leases.get(key)
            if held is not None and held.until > until:
                held = None
            if (held is None and key not in there) or (held is not None and _takes_over(token, held.token)):
                self._leases[key] = _Lease(token, until)
        self._tell((), _NOTHING)  # watchers must now wait for the end of these leases too
        return {key: self._leases[key].token for key in wanted if key in self._leases}

    def standing(self, tokens: Mapping[K, bytes], *, taken_over: bool = False) -> Sequence[K]:
        """Return the keys of those ``tokens`` whose leases are still held.

        :param taken_over: whether a lease counts that was taken over from one of ``tokens``, or to it.
        """
        self.end_overdue()
        compared = _RANDOM if taken_over else None
        return [
            key
            for key, token in tokens.items()
            if key in self._leases and self._leases[key].token[:compared] == token[:compared]
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


def _takes_over(token: bytes, held: bytes) -> bool:
    """Return whether acquiring under ``token`` takes over the lease of ``held``."""
    return held != token and held == token[:_RANDOM] + bytes(len(held) - _RANDOM)
