"""Leases of a far tier (L2) in memory."""

from __future__ import annotations

from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Generic

from anyio import Event, move_on_after, sleep

from async_backfill._common.validation import positive_seconds_or_none
from async_backfill.contracts import K, V

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence

    from async_backfill.outcomes import Absent, Failed
    from async_backfill.testing._memory_server import MemoryServer
    from async_backfill.testing._network_link import NetworkLink

_NOTHING: Final = MappingProxyType[Any, Any]({})
_BLIND: Final = 0.05
"""Seconds between two looks while the link is down and no news arrives."""


class MemoryLeases(Generic[K, V]):
    """Leases on a `MemoryServer`, over ``link``; implements `Leases`.

    ``calls`` lists the name and keys of each call.

    :param lease: the duration of a lease in seconds.
    :param version_of: returns the version of a value: a lower one does not replace a higher one.
    """

    def __init__(
        self,
        server: MemoryServer[K, V],
        link: NetworkLink,
        *,
        lease: float,
        version_of: Callable[[V], int] | None = None,
    ) -> None:
        self._version_of = version_of
        self._server = server
        self._link = link
        self._lease = lease
        self.calls: list[tuple[str, tuple[K, ...]]] = []

    async def acquire_many(
        self, keys: Sequence[K], token: bytes, /, *, outdated: Collection[K] = ()
    ) -> Mapping[K, bytes]:
        """Lease ``keys`` that are free under ``token``; return the tokens of all that are leased now."""
        self.calls.append(("acquire_many", tuple(keys)))
        await self._link.there()
        tokens = self._server.grant(keys, token, self._lease, outdated)
        await self._link.back()
        return tokens

    async def set_many(
        self, items: Mapping[K, V], tokens: Mapping[K, bytes], /, *, ttl: float | None = None
    ) -> Collection[K]:
        """Store those ``items`` whose leases are still held, and end the leases; return the stored keys."""
        self.calls.append(("set_many", tuple(items)))
        seconds = positive_seconds_or_none("ttl", ttl)
        await self._link.there()
        held = [key for key in self._server.standing(tokens, taken_over=True) if key in items]
        older = self._server.lower({key: items[key] for key in held}, self._version_of)
        kept = [key for key in held if key not in older]
        self._server.keep({key: items[key] for key in kept}, seconds)
        self._server.end(older)
        await self._link.back()
        return kept

    async def release_many(
        self,
        tokens: Mapping[K, bytes],
        /,
        *,
        told: Mapping[K, Absent | Failed] = _NOTHING,
        unkept: Collection[K] = (),
    ) -> None:
        """End those of the leases that are still held, without a value; watchers get what is ``told``.

        Those that are ``unkept`` lose their outdated value.
        """
        self.calls.append(("release_many", tuple(tokens)))
        await self._link.there()
        self._server.end(self._server.standing(tokens), told, unkept)
        await self._link.back()

    @contextmanager
    def watch(self, keys: Collection[K], /) -> Iterator[Callable[[], Awaitable[Mapping[K, Absent | Failed]]]]:
        """Watch ``keys`` for the time of ``with``; gives a function that waits for the end of a lease.

        It also returns when the link fails or recovers, and 20 times a second while it is down. After each
        return it can be called again. It returns what was told of these keys.
        """
        watch = _Watch(self._server, self._link, frozenset(keys))
        self._server.watch(watch.look)
        self._link.add_callback(watch.end)
        try:
            yield watch.wait
        finally:
            self._link.remove_callback(watch.end)
            self._server.unwatch(watch.look)


class _Watch(Generic[K, V]):
    def __init__(self, server: MemoryServer[K, V], link: NetworkLink, keys: frozenset[K]) -> None:
        self._server = server
        self._link = link
        self._keys = keys
        self._has_ended = False
        self._told: dict[K, Absent | Failed] = {}
        self._woken = Event()

    def look(self, ended: Collection[K], told: Mapping[K, Absent | Failed]) -> None:
        """Note that some leases have ended, or that some have begun."""
        if self._keys.intersection(ended):
            self._has_ended = True
        if self._link.is_up:
            self._told.update((key, told[key]) for key in self._keys.intersection(told))
        self._woken.set()

    def end(self) -> None:
        """Note that the end of a lease may have been missed."""
        self._has_ended = True
        self._woken.set()

    async def wait(self) -> Mapping[K, Absent | Failed]:
        """Return once a lease has ended, or its end may have been missed, since the last return."""
        if not self._link.is_up:
            await sleep(_BLIND)
        while self._link.is_up and not self._has_ended:
            self._woken = Event()
            left = self._server.next_end(self._keys) - self._server.clock()
            with move_on_after(max(0.0, left)):
                await self._woken.wait()
            self._server.end_overdue()
        self._has_ended = False
        told, self._told = self._told, {}
        return told
