"""Marks of jobs in Redis, and how its servers fare."""

from __future__ import annotations

from functools import cache
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from async_backfill._common.mark_names import mark_name
from async_backfill.contracts import StoreFacts, StoreState
from async_backfill.redis._cluster import SLOTS, hash_slot
from async_backfill.redis._entries import OF_JOBS
from async_backfill.redis.errors import RedisReplyError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backfill._envelopes.envelope import Envelopes
    from async_backfill._envelopes.keyspace import Keyspace
    from async_backfill.redis._wire import Command, Reply
    from async_backfill.redis.connection import RedisConnection

_PARTS: Final = 64
_QUESTIONS: Final = (("INFO", "memory"), ("INFO", "stats"), ("INFO", "server"), ("TIME",))


class JobFacts(StoreFacts):
    """The facts of a store whose entries are in Redis.

    A mark is one key that never expires: ``namespace!job:NAME``. In a cluster it is 64 of them, evenly over
    the slots, and it counts only where all are there: so it is lost when any server is, whatever slots that
    has, and slots take their parts of it with them when they move.
    """

    connection: RedisConnection
    keyspace: Keyspace[Any]
    envelopes: Envelopes[Any]

    async def mark(self, name: str, value: str, /) -> None:
        """Keep ``value`` as the mark of that name; see `StoreFacts`."""
        await self._send(name, lambda key: ("SET", key, value))

    async def marked(self, name: str, /) -> str | None:
        """Return the mark of that name; ``None`` if there is none, or a server of a cluster has lost it."""
        found = await self._send(name, lambda key: ("GET", key))
        return None if None in found else found[0].decode("utf-8", "replace")

    async def unmark(self, name: str, /) -> None:
        """Forget the mark of that name, if there is one."""
        await self._send(name, lambda key: ("UNLINK", key))

    async def state(self) -> StoreState:
        """Return ``used_memory``, ``maxmemory``, ``evicted_keys``, ``run_id`` and the time of the server.

        See `StoreState` for a cluster. Where the server's ACL forbids ``INFO``, only its time is told.
        """
        servers = await self.connection.servers()
        return _together([await self._state_of(server) for server in servers], self.envelopes.now())

    async def _send(self, name: str, command: Any) -> Sequence[Reply]:
        start = self.keyspace.name(OF_JOBS + mark_name(name))
        is_cluster = (await self.connection.facts()).slots is not None
        keys = [b"%s:{%s}" % (start, tag) for tag in _tags()] if is_cluster else [start]
        commands: list[Command] = [command(key) for key in keys]
        replies = await self.connection.pipeline(commands, keys=keys)
        for reply in replies:
            if isinstance(reply, RedisReplyError):
                raise reply
        return replies

    async def _state_of(self, server: tuple[str, int] | None) -> StoreState:
        memory, stats, about, told = await self.connection.all_at(server, _QUESTIONS)
        if isinstance(told, RedisReplyError):
            raise told
        used, counted = _said(memory), _said(stats)
        return StoreState(
            used=_number(used, b"used_memory"),
            limit=_number(used, b"maxmemory") or None,
            evicted=_number(counted, b"evicted_keys"),
            clock=int(told[0]) + int(told[1]) / 1e6,
            run=run.decode("utf-8", "replace") if (run := _said(about).get(b"run_id")) else None,
        )


def _said(reply: Reply) -> dict[bytes, bytes]:
    """Return the fields of an answer to ``INFO``; none where the server's ACL forbids it."""
    if isinstance(reply, RedisReplyError):
        if reply.code != "NOPERM":
            raise reply
        return {}
    return {name: said for name, _, said in (line.partition(b":") for line in reply.splitlines())}


def _number(said: dict[bytes, bytes], name: bytes) -> int | None:
    return int(said[name]) if name in said else None


def _together(states: Sequence[StoreState], now: float) -> StoreState:
    """Return the state of all servers of ``states``; see `StoreState`."""
    if len(states) == 1:
        return states[0]
    used, evicted = _sum([it.used for it in states]), _sum([it.evicted for it in states])
    fullest = max((it.used / it.limit for it in states if it.used and it.limit), default=None)
    return StoreState(
        used=used,
        limit=None if used is None or fullest is None else round(used / fullest),
        evicted=evicted,
        clock=max((it.clock or now for it in states), key=lambda clock: abs(clock - now)),
        run=",".join(sorted(it.run or "" for it in states)),
    )


def _sum(numbers: Sequence[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if len(known) == len(numbers) else None


@cache
def _tags() -> tuple[bytes, ...]:
    """Return hash tags, one in each of 64 equal parts of the slots."""
    tags: dict[int, bytes] = {}
    for number in count():
        tag = b"%d" % number
        tags.setdefault(hash_slot(tag) * _PARTS // SLOTS, tag)
        if len(tags) == _PARTS:
            break
    return tuple(tags[part] for part in sorted(tags))
