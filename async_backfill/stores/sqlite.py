"""A far tier (L2) in a file of this machine, without a server."""

from __future__ import annotations

import os
import time
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Generic

from async_backfill._common.each_process import EachProcess
from async_backfill._common.left_reads import LeftReads
from async_backfill._common.loose_types import K, V
from async_backfill._common.validation import positive_seconds_or_none, whole
from async_backfill._envelopes.envelope import Envelopes, Sealed
from async_backfill._envelopes.keyspace import Keyspace
from async_backfill.contracts import FarCopy, Kept, KeyListing, Sealing, VersionedStore
from async_backfill.contracts import Page as KeyPage
from async_backfill.errors import ConfigurationError, StoreError
from async_backfill.stores._sqlite.calls import Calls
from async_backfill.stores._sqlite.connections import PAGE, Connections
from async_backfill.stores._sqlite.facts import FileFacts
from async_backfill.stores._sqlite.page import Page

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from typing import Self

    from async_backfill.contracts import Compression, ValueCodec

__all__ = ["SQLiteStore"]

_DEADLINE: Final = 10.0
_LEAST_BYTES: Final = 1_000_000
_LONGEST: Final = 32_000_000  # bytes of one answer of SQLite, if no value is longer


class SQLiteStore(Sealing[K, V], VersionedStore[K, V], KeyListing[K], FileFacts, Generic[K, V]):
    """A store of copies in a file for the far tier (L2); implements `FarStore`, `Sealing`, `VersionedStore`.

    All processes of one machine that name the same file and namespace share what is in it, also after a
    restart. Keys and values are what they are in `RedisStore`: each copy has a header with its key, time and
    codec, and a checksum or signature, and what cannot be used is a miss. It has no leases: each
    process loads for itself, and a value that was loaded before a change elsewhere is refused by `set_page`.

    Use it in ``async with``, which opens the file, and closes it at the end::

        async with SQLiteStore("cache.db", namespace="products") as store:
            async with BackfillCache(source, far=FarTier(store=store, timeout=1.0)) as cache:
                ...

    SQLite runs in threads, on asyncio and trio; a call that is cancelled does not wait for its thread, and
    changes nothing any more once it is the turn of a later one. Calls wait for each other, at most 5 s.
    A file that is damaged, of other software or of a newer release is refused with a `StoreError` that
    says so, and nothing in it is changed; so is every other error of SQLite raised.

    :param path: the file, on a disk of this machine, not of a network; it is made for its owner alone.
    :param namespace: the prefix of this store's entries: 1 to 64 letters, digits, ``.``, ``_`` or ``-``.
    :param max_bytes: the largest size of the file, of all namespaces in it; all processes should give the
        same. When it is reached, what was written first is evicted. Beside the file, SQLite has one of some
        megabytes for what was written last.
    :param key_type: the classes of keys that are no standard types; see `RedisStore`.
    :param value_type: the type of the values; see `RedisStore`.
    :param codec: makes bytes of values and values of bytes, in place of ``value_type``; see
        ``async_backfill.stores.codecs``.
    :param max_value_bytes: the largest size of a value; a larger one is neither written nor used when read.
    :param signing_key: a secret of 16 bytes or more; a copy without its signature is not used.
    :param compression: the compression of large values, such as `Zstd`.
    :param version_of: returns the version of a value; see `RedisStore`.
    :param clock: a function that returns seconds which never go back, the same in all processes of the
        machine.
    :param wall_clock: a function that returns seconds since the epoch.
    :raises ConfigurationError: when a setting is not allowed.
    """

    def __init__(  # noqa: PLR0913 - the settings users name are flat
        self,
        path: str | os.PathLike[str],
        *,
        namespace: str,
        max_bytes: int = 1_000_000_000,
        key_type: type[K] | Any = Any,
        value_type: type[V] | Any = Any,
        codec: ValueCodec[V] | None = None,
        max_value_bytes: int = 1_000_000,
        signing_key: bytes | None = None,
        compression: Compression | None = None,
        version_of: Callable[[V], int] | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = os.path.realpath(path)  # also after the program has changed its folder
        self._keyspace: Keyspace[K] = Keyspace(namespace, key_type)
        self._envelopes: Envelopes[V] = Envelopes(
            value_type,
            codec=codec,
            max_bytes=max_value_bytes,
            signing_key=signing_key,
            compression=compression,
            version_of=version_of,
            wall_clock=wall_clock,
        )
        self._max_bytes = whole("max_bytes", max_bytes, least=_LEAST_BYTES)
        longest = self._envelopes.max_bytes
        if self._max_bytes < 4 * longest:
            problem = f"{max_bytes} is less than 4 times max_value_bytes, {longest}"
            raise ConfigurationError("max_bytes", problem)
        self._clock = clock
        self._threads = LeftReads(self.path, error=StoreError)
        self._connections = EachProcess(
            lambda: Connections(
                self.path,
                most_pages=self._max_bytes // PAGE,
                longest=max(_LONGEST, 4 * longest),
                clock=clock,
                inherited=self._connections.inherited,
            )
        )

    def __repr__(self) -> str:
        return f"SQLiteStore({self.path!r}, namespace={self._keyspace.namespace!r})"

    async def __aenter__(self) -> Self:
        await self._threads.run(self._calls().open)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the file; later calls raise `StoreError`. Calls that still run in a thread end first."""
        await self._threads.run_last(self._connections.get().close)

    @property
    def rejected(self) -> Mapping[str, int]:
        """The number of copies that could not be used, by reason; a live view."""
        return MappingProxyType(self._envelopes.rejected)

    @property
    def unkept(self) -> Mapping[str, int]:
        """The number of values not stored, because too large or not encodable, by reason; a live view."""
        return MappingProxyType(self._envelopes.unkept)

    @property
    def refused(self) -> Mapping[str, int]:
        """The number of keys that were neither read nor written because nobody else could tell them apart.

        By the name of their class; a live view. One log line a second says why.
        """
        return MappingProxyType(self._keyspace.refused)

    @property
    def deadline(self) -> float:
        """The seconds after the begin of its read for which a page is taken; then it must be read again."""
        return _DEADLINE

    @property
    def version_of(self) -> Callable[[V], int] | None:
        """What returns the version of a value; ``None`` if pages are compared by time."""
        return self._envelopes.version_of

    def now(self) -> float:
        """Return the time of a clock that all processes of this machine share."""
        return self._clock()

    def seal(self, items: Mapping[K, V], /, *, read_at: float | None = None) -> Mapping[K, V | Sealed]:
        """Return ``items`` encoded, for `set_many` and `set_page`.

        One that is too large, cannot be encoded, or whose key is refused, is left out. Their age counts from
        ``read_at``, a time of `now`; ``None`` is now.
        """
        keys, _, sealed = self._sealed(items, read_at)
        return {
            key: Sealed(envelope, read_at)
            for key, envelope in zip(keys, sealed, strict=True)
            if envelope is not None
        }

    async def get_many(self, keys: Sequence[K], /) -> Mapping[K, FarCopy[V]]:
        """Return copies of those ``keys`` that are stored."""
        told, names = self._keyspace.names(keys)
        if not names:
            return {}
        found = await self._threads.run(partial(self._calls().find, names, self._envelopes.now()))
        copies = self._envelopes.open_many(names, found)
        return {key: copy for key, copy in zip(told, copies, strict=True) if copy is not None}

    async def set_many(self, items: Mapping[K, V | Sealed], /, *, ttl: float | None = None) -> None:
        """Store ``items`` for ``ttl`` seconds, above 0.0; ``None`` for as long as there is room.

        An item that is too large, or cannot be encoded, is not stored, and its older copy is removed.
        """
        seconds = positive_seconds_or_none("ttl", ttl)
        _, names, sealed = self._sealed(items, None)
        if names:
            wall = self._envelopes.now()
            until = None if seconds is None else wall + seconds
            await self._threads.run(partial(self._calls().put, names, sealed, until, wall))

    async def set_page(
        self, items: Mapping[K, V | Sealed], /, *, read_at: float, ttl: float | None = None
    ) -> Kept[K]:
        """Keep those ``items`` that no later value, removal or clear contradicts, until ``read_at + ttl``.

        The rows of a page are written in one transaction, all or none. An older copy of an item that
        cannot be kept is removed.

        :param read_at: the time of `now` before the read of the page began.
        :raises StalePageError: when the read began more than `deadline` seconds ago, or the store has evicted
            since then what was written after it; nothing was kept.
        :raises ValueError: when ``read_at`` is in the future: it is a time of another clock.
        """
        seconds = positive_seconds_or_none("ttl", ttl)
        now = self._clock()
        if not read_at <= now:
            raise ValueError(f"read_at: {read_at} is later than now, {now}: take it from now()")
        keys, names, sealed = self._sealed(items, read_at)
        wall = self._envelopes.now()

        def until(begin: float) -> float | None:
            return None if seconds is None else wall - (now - begin) + seconds

        page = Page(items, keys, names, sealed, read_at, until)
        if not page.reads:
            return page.told(0, ())
        return page.told(
            *await self._threads.run(
                partial(self._calls().put_page, page.reads, self._envelopes.version_place, _DEADLINE, wall)
            )
        )

    async def delete_many(self, keys: Sequence[K], /) -> None:
        """Remove ``keys``; unknown keys are ignored."""
        _, names = self._keyspace.names(keys)
        if names:
            nothing = [None] * len(names)
            await self._threads.run(partial(self._calls().put, names, nothing, None, self._envelopes.now()))

    async def list_keys(self, cursor: object | None, limit: int, /) -> KeyPage[K]:
        """Return up to ``limit`` keys that are stored, behind those before; see `KeyListing`."""
        names = await self._threads.run(partial(self._calls().names, cursor, limit, self._envelopes.now()))
        return KeyPage(self._keyspace.keys_of(names), names[-1] if len(names) == limit else None)

    async def clear(self) -> None:
        """Remove every entry of this namespace that exists when the call begins."""
        await self._threads.run(self._calls().clear)

    def _calls(self) -> Calls:
        return Calls(
            self._connections.get(), self._keyspace.namespace, self._max_bytes, self._envelopes.max_bytes
        )

    def _sealed(
        self, items: Mapping[K, V | Sealed], read_at: float | None
    ) -> tuple[Collection[K], list[bytes], list[bytes | None]]:
        keys, names, values = self._keyspace.named(items)
        began = None if read_at is None else self._envelopes.now() - (self._clock() - read_at)
        return keys, names, self._envelopes.seal_many(names, values, began)
