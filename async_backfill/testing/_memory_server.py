"""A simulated server for a far tier (L2): values, leases, and subscriptions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias

from async_backfill.contracts import FarCopy, K, Kept, V
from async_backfill.errors import StalePageError
from async_backfill.outcomes import ABSENT
from async_backfill.testing._memory_marks import Marks

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from async_backfill.contracts import Clock
    from async_backfill.outcomes import Absent, Failed

    Watcher: TypeAlias = Callable[[Collection[K], Mapping[K, Absent | Failed]], None]

_NOTHING: Final = MappingProxyType[Any, Any]({})
_RANDOM: Final = 12  # bytes of a token; see `Leases`


@dataclass(frozen=True, slots=True)
class _Entry(Generic[V]):
    value: V
    since: float
    until: float


@dataclass(frozen=True, slots=True)
class _Lease:
    token: bytes
    until: float


class MemoryServer(Generic[K, V]):
    """A store of values and leases, each until it expires; all methods are synchronous.

    :param deadline: the seconds after the begin of its read for which a page is taken.
    """

    def __init__(self, clock: Clock, deadline: float) -> None:
        self.clock = clock
        self.deadline = deadline
        self._moment = -math.inf
        self._marks: Marks[K] = Marks(self.moment, deadline)
        self._kept: dict[K, _Entry[V]] = {}
        self.job_marks: dict[str, str] = {}
        """The marks of jobs, by name."""
        self._leases: dict[K, _Lease] = {}
        self._watchers: list[Watcher[K]] = []
        self._inboxes: list[Callable[[object, Sequence[K] | None], None]] = []

    def moment(self) -> float:
        """Return the time, a trifle later than at the last call where the clock stands still.

        So of a read and a change at the same virtual time it is known which came first.
        """
        self._moment = max(self.clock(), math.nextafter(self._moment, math.inf))
        return self._moment

    def __len__(self) -> int:
        """Return the number of values that have not expired."""
        return len(self.find(tuple(self._kept)))

    def keys(self) -> tuple[K, ...]:
        """Return the keys of all values, also of those that have expired."""
        return tuple(self._kept)

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
        self._kept.update((key, _Entry(value, now, until)) for key, value in items.items())
        self._marks.leave(items)
        self.end(items)

    def keep_page(
        self,
        items: Mapping[K, V],
        read_at: float,
        ttl: float | None,
        version_of: Callable[[V], int] | None = None,
    ) -> Kept[K]:
        """Store those ``items``, read at ``read_at``, that have neither a later change nor a lease."""
        self.end_overdue()
        now = self.clock()
        most = self.deadline if ttl is None else min(self.deadline, ttl)
        if now - read_at > most:
            raise StalePageError(
                f"the read of a page began {now - read_at:.3f} s ago, and it is taken for {most:.3f} s; read "
                f"it again"
            )
        leased = [key for key in items if key in self._leases]
        newer = self._later(
            {key: items[key] for key in items if key not in self._leases}, read_at, version_of
        )
        left = {*leased, *newer}
        kept = [key for key in items if key not in left]
        until = math.inf if ttl is None else read_at + ttl
        self._kept.update((key, _Entry(items[key], read_at, until)) for key in kept)
        self._marks.leave_read(kept, read_at)
        return Kept(kept=len(kept), newer=newer, leased=leased)

    def _later(self, items: Mapping[K, V], read_at: float, version_of: Callable[[V], int] | None) -> list[K]:
        later = self._marks.later(items, read_at)
        if version_of is None or self._marks.cleared > read_at:
            return later
        there = self.find(items)
        return [*self.lower(items, version_of), *(key for key in later if key not in there)]

    def lower(self, items: Mapping[K, V], version_of: Callable[[V], int] | None) -> list[K]:
        """Return the keys of those ``items`` that are there with a higher version."""
        if version_of is None:
            return []
        there = self.find(items)
        return [key for key in there if version_of(there[key].value) > version_of(items[key])]

    def forget(self, keys: Iterable[K] | None) -> None:
        """Remove ``keys`` and their leases; ``None`` means every key."""
        keys = None if keys is None else tuple(keys)
        gone = (*self._kept, *self._leases) if keys is None else keys
        for key in gone:
            self._kept.pop(key, None)
        self._marks.leave(keys)
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

    def end(
        self, keys: Iterable[K], told: Mapping[K, Absent | Failed] = _NOTHING, unkept: Collection[K] = ()
    ) -> None:
        """End the leases of ``keys`` and wake their watchers, who get what is ``told`` of these keys.

        :param unkept: those that lose their outdated value.
        """
        held = [key for key in dict.fromkeys(keys) if key in self._leases]
        self._marks.leave(held)
        for key in held:
            if key in unkept:
                self._kept.pop(key, None)
        self._end(held, told)

    def end_overdue(self) -> None:
        """End the leases that have expired."""
        now = self.clock()
        self._end([key for key, lease in self._leases.items() if lease.until <= now], _NOTHING)

    def _end(self, held: Sequence[K], told: Mapping[K, Absent | Failed]) -> None:
        for key in held:
            del self._leases[key]
            if told.get(key) is ABSENT:
                self._kept.pop(key, None)
        if held:
            self._tell(held, {key: told[key] for key in held if key in told})

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

    def unsubscribe(self, inbox: Callable[[object, Sequence[K] | None], None]) -> None:
        """Stop calling ``inbox``."""
        self._inboxes.remove(inbox)

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
