"""The store of a far tier (L2) in Redis or Valkey."""

from __future__ import annotations

import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Generic

from async_backfill._common.loose_types import K, V
from async_backfill._envelopes.envelope import Envelopes, Sealed
from async_backfill._envelopes.keyspace import Keyspace
from async_backfill.contracts import AccessCheck, FarCopy, NeedsAsyncio, Sealing
from async_backfill.redis._bounded import TextTooLongError
from async_backfill.redis._rights import of_entries
from async_backfill.redis._wire import milliseconds
from async_backfill.redis.errors import RedisReplyError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from async_backfill._envelopes.envelope import Compression
    from async_backfill.contracts import ValueCodec
    from async_backfill.redis._wire import Argument, Command, Reply
    from async_backfill.redis.connection import RedisConnection

__all__ = ["RedisStore"]

_MOST: Final = 500  # keys of one command: more would block the server for long, and cost more for each key
_PAGE: Final = 1_000
_MOST_FAILOVERS: Final = 3  # while one server is cleared


class RedisStore(NeedsAsyncio, Sealing[K, V], AccessCheck, Generic[K, V]):
    """A store of copies in Redis for the far tier (L2); implements `FarStore` and `Sealing`.

    Keys that are equal in Python, with the same hash, have one entry, and others never do. A key that it
    cannot tell apart from others is neither read nor written, counts in `refused`, and disturbs no other.

    Each copy has a header with its key, time and codec, and a checksum or signature. Data that cannot be used
    is a miss, counted by reason in `rejected`: it is never executed and raises nothing. A value comes back in
    the types that it had, or is refused when it is written: it is then counted by reason in `unkept`, and the
    logger ``async_backfill.far`` has a line for each type. Errors of the network and
    the server are raised: `RedisUnavailableError`, `RedisReplyError`. No call has a deadline of its own.

    :param connection: a connection made by `async_backfill.redis.connect`; the caller closes it.
    :param namespace: the prefix of this store's entries: 1 to 64 letters, digits, ``.``, ``_`` or ``-``.
    :param key_type: the classes of keys that are no standard types: a class, a type annotation such as
        ``tuple[str, Seat]``, a `KeyType`, or a tuple of these. A store itself needs it only for a `KeyType`.
    :param value_type: the type of the values, any type that msgspec supports, such as a dataclass; all stores
        of a namespace should have the same. ``Any`` takes None, bool, int, float, str, bytes, list, tuple,
        dict, set, frozenset, Decimal, date, time, datetime, timedelta and UUID, and no subclass of them.
    :param codec: makes bytes of values and values of bytes, in place of ``value_type``, such as
        `PydanticCodec` or `FunctionCodec`.
    :param max_value_bytes: the largest size of a value; a larger one is neither written nor used when read.
    :param signing_key: a secret of 16 bytes or more, the same in all processes; a copy without its signature
        is not used. Without a key, anybody who can write to the server can forge values.
    :param compression: the compression of large values, such as `async_backfill.redis.Zstd`.
    :param wall_clock: a function that returns seconds since the epoch; the clocks of all processes should
        agree.
    :raises ConfigurationError: when a setting is not allowed.
    """

    # MSETEX sets many keys with a ttl in one command; older servers get pipelined SETs. Both beat redis-py's
    # pipeline, and a Lua script would be limited to one hash slot: see decision 40 in notes.md.

    def __init__(  # noqa: PLR0913 - the settings users name are flat
        self,
        connection: RedisConnection,
        *,
        namespace: str,
        key_type: type[K] | Any = Any,
        value_type: type[V] | Any = Any,
        codec: ValueCodec[V] | None = None,
        max_value_bytes: int = 1_000_000,
        signing_key: bytes | None = None,
        compression: Compression | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.connection = connection
        self.keyspace: Keyspace[K] = Keyspace(namespace, key_type)
        self.envelopes: Envelopes[V] = Envelopes(
            value_type,
            codec=codec,
            max_bytes=max_value_bytes,
            signing_key=signing_key,
            compression=compression,
            wall_clock=wall_clock,
        )

    def __repr__(self) -> str:
        return f"RedisStore({self.connection!r}, namespace={self.keyspace.namespace!r})"

    @property
    def rejected(self) -> Mapping[str, int]:
        """The number of copies that could not be used, by reason; a live view."""
        return MappingProxyType(self.envelopes.rejected)

    @property
    def unkept(self) -> Mapping[str, int]:
        """The number of values not stored, because too large or not encodable, by reason; a live view."""
        return MappingProxyType(self.envelopes.unkept)

    @property
    def refused(self) -> Mapping[str, int]:
        """The number of keys that were neither read nor written because nobody else could tell them apart.

        By the name of their class; a live view. One log line a second says why.
        """
        return MappingProxyType(self.keyspace.refused)

    def seal(self, items: Mapping[K, V], /, *, read_at: float | None = None) -> Mapping[K, V | Sealed]:
        """Return ``items`` encoded, for `set_many` and `set_page` here and `set_many` in `RedisLeases`.

        One that is too large, cannot be encoded, or whose key is refused, is left out. Their age counts from
        ``read_at``, a time of `now`; ``None`` is now.
        """
        keys, names = self.keyspace.names(items)
        values = items.values() if keys is items else [items[key] for key in keys]
        envelopes = zip(keys, self.envelopes.seal_many(names, values, read_at), strict=True)
        return {key: Sealed(envelope) for key, envelope in envelopes if envelope is not None}

    async def get_many(self, keys: Sequence[K], /) -> Mapping[K, FarCopy[V]]:
        """Return copies of those ``keys`` that are stored, in one round trip."""
        told, names = self.keyspace.names(keys)
        if not names:
            return {}
        try:
            found = await self._read(names)
        except TextTooLongError:
            found = await self._read_bounded(names)
        copies = self.envelopes.open_many(names, found)
        return {key: copy for key, copy in zip(told, copies, strict=True) if copy is not None}

    async def set_many(self, items: Mapping[K, V | Sealed], /, *, ttl: float | None = None) -> None:
        """Store ``items`` for ``ttl`` seconds, above 0.0, in one round trip; ``None`` is without a limit.

        An item that is too large, or cannot be encoded, is not stored, and its older copy is removed.
        """
        keys, names = self.keyspace.names(items)
        values = items.values() if keys is items else [items[key] for key in keys]
        sealed = self.envelopes.seal_many(names, values)
        unkept = [name for name, envelope in zip(names, sealed, strict=True) if envelope is None]
        if unkept:
            await self._unlink(unkept)
            names = [name for name, envelope in zip(names, sealed, strict=True) if envelope is not None]
        if not names:
            return
        await self._set([envelope for envelope in sealed if envelope is not None], names, milliseconds(ttl))

    async def delete_many(self, keys: Sequence[K], /) -> None:
        """Remove ``keys`` and their leases; unknown keys are ignored."""
        _, names = self.keyspace.names(keys)
        if names:
            await self._unlink(names)

    async def clear(self) -> None:
        """Remove every entry of this namespace that exists when the call begins, and every lease.

        Keys of other programs that begin with the namespace and a colon stay, unless they have the name that
        an entry would have. It takes one round trip for each 1,000 keys on the server, those of other
        namespaces included.
        """
        await self._unlink([self.keyspace.probes[0]])  # a replica refuses, and is left
        for server in await self.connection.servers():
            for _ in range(_MOST_FAILOVERS):
                failovers = self.connection.failovers
                await self._clear(server)
                if self.connection.failovers == failovers:  # else the cursor was of another server
                    break

    async def missing_rights(self) -> Sequence[str]:
        """Return what the server's ACL does not let this store do, on one line with the rule to set."""
        return await of_entries(self.connection, self.keyspace)

    async def _clear(self, server: tuple[str, int] | None) -> None:
        is_entry = self.keyspace.is_entry
        cursor: Reply = b"0"
        while True:
            cursor, found = await self.connection.at(
                server, "SCAN", cursor, "MATCH", self.keyspace.pattern, "COUNT", _PAGE
            )
            names = [name for name in found if is_entry(name)]
            if names:
                await self._unlink(names)
            if cursor == b"0":
                break

    async def _read(self, names: Sequence[bytes]) -> list[object]:
        """Return what is stored under ``names``, unless one of them is longer than a value may be."""
        found: list[object] = [None] * len(names)
        groups = await self._groups(names)
        commands: list[Command] = [("MGET", *[names[place] for place in group]) for group in groups]
        answers = await self._pipeline(
            commands, lengths=[len(group) for group in groups], most=self.envelopes.max_bytes
        )
        for group, values in zip(groups, answers, strict=True):
            for place, value in zip(group, values, strict=True):
                found[place] = value
        return found

    async def _read_bounded(self, names: Sequence[bytes]) -> list[object]:
        """Return the beginning of what is stored under ``names``: one byte more than a value may have."""
        # A command a key: MGET and a script that looks at the lengths first takes 2.6 times as long for 500
        # keys of 100 bytes, which is too much for what hardly ever happens.
        replies = await self.connection.pipeline(
            [("GETRANGE", name, 0, self.envelopes.max_bytes) for name in names], keys=names
        )
        for reply in replies:
            if isinstance(reply, RedisReplyError) and reply.code != "WRONGTYPE":
                raise reply
        return [reply or None for reply in replies]

    async def _set(self, sealed: list[bytes], names: list[bytes], ttl: int | None) -> None:
        if ttl is not None and not (await self.connection.facts()).msetex:
            await self._pipeline(
                [("SET", name, envelope, "PX", ttl) for name, envelope in zip(names, sealed, strict=True)]
            )
            return
        groups = await self._groups(names)
        commands: list[Command] = []
        for group in groups:
            pairs: list[Argument] = [b""] * (2 * len(group))
            pairs[::2] = [names[place] for place in group]
            pairs[1::2] = [sealed[place] for place in group]
            commands.append(("MSET", *pairs) if ttl is None else ("MSETEX", len(group), *pairs, "PX", ttl))
        await self._pipeline(commands, [names[group[0]] for group in groups])

    async def _unlink(self, names: Sequence[bytes]) -> None:
        groups = await self._groups(names)
        await self._pipeline([("UNLINK", *[names[place] for place in group]) for group in groups])

    async def _groups(self, names: Sequence[bytes]) -> list[Sequence[int]]:
        """Return the positions of ``names``, grouped by command."""
        groups = await self.connection.groups(names)
        if all(len(group) <= _MOST for group in groups):
            return groups
        return [group[at : at + _MOST] for group in groups for at in range(0, len(group), _MOST)]

    async def _pipeline(
        self,
        commands: Sequence[Command],
        keys: Sequence[bytes] | None = None,
        lengths: Sequence[int] = (),
        most: int | None = None,
    ) -> list[Reply]:
        """Send ``commands``, each to the server of its key, by default the first argument."""
        if keys is None:
            keys = [command[1] for command in commands if isinstance(command[1], bytes)]
        replies = await self.connection.pipeline(commands, keys=keys, lengths=lengths, most=most)
        for reply in replies:
            if isinstance(reply, RedisReplyError):
                raise reply
        return replies
