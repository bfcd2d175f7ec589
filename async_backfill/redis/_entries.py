"""Entries in Redis as bytes, many at once: read, set, bury, clear."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

from async_backfill.redis._bounded import TextTooLongError
from async_backfill.redis._marks import LIFE, tombstone
from async_backfill.redis.errors import RedisReplyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from async_backfill._envelopes.keyspace import Keyspace
    from async_backfill.redis._wire import Argument, Command, Reply
    from async_backfill.redis.connection import RedisConnection

_T = TypeVar("_T")

MOST: Final = 500
"""The keys of one command: more would block the server for long, and cost more for each key."""

GROUP: Final = 2000
"""Keys of one round trip: to seal or open so many envelopes takes five milliseconds or less."""

OF_JOBS: Final = "job:"
"""What the names of the marks of jobs begin with, behind the namespace."""

_PAGE: Final = 1_000
_MOST_FAILOVERS: Final = 3  # while one server is cleared


class Entries:
    """Reads and writes entries over ``connection``, in as few commands as its server or cluster allows.

    :param max_bytes: the largest entry that is used.
    """

    # MSETEX sets many keys with a ttl in one command; older servers get pipelined SETs. Both beat redis-py's
    # pipeline, and a Lua script would be limited to one hash slot: see decision 40 in notes.md.

    def __init__(self, connection: RedisConnection, keyspace: Keyspace[Any], *, max_bytes: int) -> None:
        self._connection = connection
        self._keyspace = keyspace
        self._max_bytes = max_bytes
        self.cleared = keyspace.name("cleared")
        """The name of the stamp that a clear leaves."""
        self._marks = keyspace.name(OF_JOBS)
        self._cleared_names = f"{keyspace.namespace}[:!][hkj]*".encode()  # entries and marks, in one pass

    async def read(self, names: Sequence[bytes]) -> list[object]:
        """Return what is stored under ``names``; of what is too long only so much that this shows."""
        try:
            return await self._read(names)
        except TextTooLongError:
            return await self._read_bounded(names)

    async def set(self, sealed: Sequence[bytes], names: Sequence[bytes], ttl: int | None) -> None:
        """Store each of ``sealed`` under its name for ``ttl`` milliseconds; ``None`` is without a limit."""
        if ttl is not None and not (await self._connection.facts()).msetex:
            await self.pipeline(
                [("SET", name, envelope, "PX", ttl) for name, envelope in zip(names, sealed, strict=True)]
            )
            return
        groups = await self.groups(names)
        commands: list[Command] = []
        for group in groups:
            pairs: list[Argument] = [b""] * (2 * len(group))
            pairs[::2] = [names[place] for place in group]
            pairs[1::2] = [sealed[place] for place in group]
            commands.append(("MSET", *pairs) if ttl is None else ("MSETEX", len(group), *pairs, "PX", ttl))
        await self.pipeline(commands, [names[group[0]] for group in groups])

    async def bury(self, names: Sequence[bytes], now: float) -> None:
        """Leave a tombstone of the time ``now`` in the place of what is stored under ``names``.

        A server that is full takes none: there they are only removed.
        """
        mark = tombstone(now)
        replies = await self._connection.pipeline(
            [("SET", name, mark, "PX", LIFE) for name in names], keys=names
        )
        full = [name for name, reply in zip(names, replies, strict=True) if _is_full(reply)]
        _raise_first([reply for reply in replies if not _is_full(reply)])
        if full:
            await self.unlink(full)

    async def unlink(self, names: Sequence[bytes]) -> None:
        """Remove what is stored under ``names``, without a trace."""
        groups = await self.groups(names)
        await self.pipeline([("UNLINK", *[names[place] for place in group]) for group in groups])

    async def clear(self, now: float) -> bytes:
        """Remove every entry of the namespace, and leave a stamp of the time ``now``; return it."""
        stamp = tombstone(now)
        replies = await self._connection.pipeline(  # a replica refuses, and is left
            [("SET", self.cleared, stamp, "PX", LIFE)], keys=[self.cleared]
        )
        if _is_full(replies[0]):
            await self.unlink([self._keyspace.probes[0]])
        else:
            _raise_first(replies)
        for server in await self._connection.servers():
            for _ in range(_MOST_FAILOVERS):
                failovers = self._connection.failovers
                await self._clear(server)
                if self._connection.failovers == failovers:  # else the cursor was of another server
                    break
        return stamp

    async def scan(self, cursor: object | None, limit: int) -> tuple[Sequence[bytes], object | None]:
        """Return some of the names of the namespace, server by server, and the cursor of the next ones."""
        place, at = cursor if isinstance(cursor, tuple) else (0, b"0")
        servers = await self._connection.servers()
        server = servers[min(place, len(servers) - 1)]
        at, names = await self._connection.at(
            server, "SCAN", at, "MATCH", self._keyspace.pattern, "COUNT", limit
        )
        if at != b"0":
            return names, (place, at)
        return names, (place + 1, b"0") if place + 1 < len(servers) else None

    async def groups(self, names: Sequence[bytes]) -> list[Sequence[int]]:
        """Return the positions of ``names``, grouped by command."""
        groups = await self._connection.groups(names)
        if all(len(group) <= MOST for group in groups):
            return groups
        return [group[at : at + MOST] for group in groups for at in range(0, len(group), MOST)]

    async def pipeline(
        self,
        commands: Sequence[Command],
        keys: Sequence[bytes] | None = None,
        lengths: Sequence[int] = (),
        most: int | None = None,
    ) -> list[Reply]:
        """Send ``commands``, each to the server of its key, by default the first argument."""
        if keys is None:
            keys = [command[1] for command in commands if isinstance(command[1], bytes)]
        replies = await self._connection.pipeline(commands, keys=keys, lengths=lengths, most=most)
        _raise_first(replies)
        return replies

    async def _read(self, names: Sequence[bytes]) -> list[object]:
        """Return what is stored under ``names``, unless one of them is longer than a value may be."""
        found: list[object] = [None] * len(names)
        groups = await self.groups(names)
        commands: list[Command] = [("MGET", *[names[place] for place in group]) for group in groups]
        answers = await self.pipeline(
            commands, lengths=[len(group) for group in groups], most=self._max_bytes
        )
        for group, values in zip(groups, answers, strict=True):
            for place, value in zip(group, values, strict=True):
                found[place] = value
        return found

    async def _read_bounded(self, names: Sequence[bytes]) -> list[object]:
        """Return the beginning of what is stored under ``names``: one byte more than a value may have."""
        # A command a key: MGET and a script that looks at the lengths first takes 2.6 times as long for 500
        # keys of 100 bytes, which is too much for what hardly ever happens.
        replies = await self._connection.pipeline(
            [("GETRANGE", name, 0, self._max_bytes) for name in names], keys=names
        )
        for reply in replies:
            if isinstance(reply, RedisReplyError) and reply.code != "WRONGTYPE":
                raise reply
        return [reply or None for reply in replies]

    async def _clear(self, server: tuple[str, int] | None) -> None:
        is_entry = self._keyspace.is_entry
        cursor: Reply = b"0"
        while True:
            cursor, found = await self._connection.at(
                server, "SCAN", cursor, "MATCH", self._cleared_names, "COUNT", _PAGE
            )
            names = [name for name in found if is_entry(name) or name.startswith(self._marks)]
            if names:
                await self.unlink(names)
            if cursor == b"0":
                break


def in_groups(items: Iterable[_T]) -> Iterator[tuple[_T, ...]]:
    """Yield ``items`` in groups of `GROUP`."""
    rest = iter(items)
    while group := tuple(islice(rest, GROUP)):
        yield group


def _is_full(reply: Reply) -> bool:
    return isinstance(reply, RedisReplyError) and reply.code == "OOM"


def _raise_first(replies: Sequence[Reply]) -> None:
    for reply in replies:
        if isinstance(reply, RedisReplyError):
            raise reply
