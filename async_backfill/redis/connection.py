"""A connection to Redis or Valkey, one server or a cluster: commands, scripts and subscriptions."""

from __future__ import annotations

import hashlib
from asyncio import TaskGroup
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Self

from async_backfill._common.validation import positive_seconds, whole
from async_backfill.redis._client import Dialer, pack
from async_backfill.redis._cluster import by_slot
from async_backfill.redis._facts import QUESTION_COUNT, QUESTIONS, facts_of
from async_backfill.redis._pool import LinkPool
from async_backfill.redis._wire import Expected
from async_backfill.redis.errors import RedisError, RedisReplyError, RedisUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from async_backfill.redis._cluster import SlotMap
    from async_backfill.redis._facts import Facts
    from async_backfill.redis._pool import Link
    from async_backfill.redis._wire import Argument, Command, Reply

__all__ = ["RedisConnection", "connect"]

_ANYTHING: Final = Expected()


def connect(url: str, *, max_connections: int = 8, connect_timeout: float = 2.0) -> RedisConnection:
    """Return a connection to the server at ``url``; nothing is sent before the first command.

    :param url: ``redis://user:password@host:6379/0``, ``rediss://`` with TLS (certificate and name
        are verified), or ``unix:///path``; ``valkey://`` and ``valkeys://`` mean the same. Of a cluster
        any server will do.
    :param max_connections: commands in progress at the most, 1 or more; more of them wait.
    :param connect_timeout: seconds within which a socket must be open and logged in. A shorter deadline
        of a caller does not stop that: the next caller may find it done.
    :raises ConfigurationError: when any of them cannot be used; the text shows no password.
    """
    return RedisConnection(url, max_connections=max_connections, connect_timeout=connect_timeout)


class RedisConnection:
    """Sends commands to a server, over a few sockets; use it in one event loop, and `aclose` it there.

    A command has no deadline of its own: use `anyio.move_on_after` or `anyio.fail_after`. One that is
    cancelled takes its socket with it, so its answer can never be that of another command. After a fork each
    process connects anew. Everything raises `RedisUnavailableError` when no answer came, and
    `RedisReplyError` when the server refused. See `connect` for the parameters.
    """

    def __init__(self, url: str, *, max_connections: int = 8, connect_timeout: float = 2.0) -> None:
        self._dialer = Dialer(url, positive_seconds("connect_timeout", connect_timeout))
        self._size = whole("max_connections", max_connections, least=1)
        self._home = self._pool(None)
        self._pools: dict[tuple[str, int], LinkPool] = {}
        if self._dialer.address is not None:
            self._pools[self._dialer.address] = self._home
        self._facts: Facts | None = None

    def __repr__(self) -> str:
        return f"RedisConnection({self._dialer.name!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the sockets; commands in progress get their answers, later ones are refused."""
        for pool in (self._home, *self._pools.values()):
            await pool.aclose()

    async def execute(self, *command: Argument, key: bytes | None = None) -> Reply:
        """Send one command and return its answer; in a cluster ``key`` says where it goes."""
        reply = (await self._send([pack(command)], [key]))[0]
        if isinstance(reply, RedisReplyError):
            raise reply
        return reply

    async def pipeline(
        self,
        commands: Sequence[Command],
        *,
        keys: Sequence[bytes] | None = None,
        lengths: Sequence[int] = (),
        most: int | None = None,
    ) -> list[Reply]:
        """Send ``commands`` in one round trip and return their answers; a refusal is one of them.

        They are not a transaction. In a cluster each of ``keys`` says where the command of its place goes.
        ``lengths`` are those that the answers, all lists, must have: any other answer was garbled on
        its way, so what comes after it cannot be trusted either. A text of more than ``most`` bytes is not
        read; that raises a `RedisError`.
        """
        if not commands:
            return []
        packed = [pack(command) for command in commands]
        return await self._send(packed, keys or [None] * len(commands), Expected(lengths, most))

    async def script(self, script: str, keys: Sequence[bytes], args: Sequence[Argument] = ()) -> Reply:
        """Run a Lua script by its digest, or send it when the server does not know it; return its answer.

        In a cluster all ``keys`` must be of one hash slot: see `groups`.
        """
        digest = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
        key = keys[0] if keys else None
        try:
            return await self.execute("EVALSHA", digest, len(keys), *keys, *args, key=key)
        except RedisReplyError as error:
            if error.code != "NOSCRIPT":
                raise
        return await self.execute("EVAL", script, len(keys), *keys, *args, key=key)

    async def servers(self) -> Sequence[tuple[str, int] | None]:
        """Return the addresses of the servers that take writes, for `at`; ``[None]`` without a cluster."""
        slots = (await self.facts()).slots
        return [None] if slots is None else sorted(slots.addresses)

    async def at(self, address: tuple[str, int] | None, *command: Argument) -> Reply:
        """Send one command to the server at ``address`` and return its answer."""
        (reply,) = await self._exchange(self._pool_at(address), pack(command), 1)
        if isinstance(reply, RedisReplyError):
            raise reply
        return reply

    async def groups(self, keys: Sequence[bytes]) -> list[Sequence[int]]:
        """Return the places of ``keys`` that one command may have together: all, or in a cluster a slot's."""
        facts = self._facts or await self.facts()
        return [range(len(keys))] if facts.slots is None else by_slot(keys)

    async def facts(self) -> Facts:
        """Return the capabilities that the server reported when it was last connected to, or reports now."""
        if self._facts is None:
            self._facts = await self._ask_anyone()
        return self._facts

    @asynccontextmanager
    async def subscribe(
        self, *channels: bytes, heartbeat: float = 1.0
    ) -> AsyncIterator[AsyncIterator[tuple[bytes, bytes]]]:
        """Subscribe to ``channels`` over a socket of its own, for the length of the block.

        The block gets an iterator of channels and payloads. It begins once the server has confirmed;
        what is published from then on comes, until the iterator raises `RedisUnavailableError`: at the
        latest when nothing, nor an answer to a ``PING``, was heard for twice ``heartbeat`` seconds.
        """
        link, _ = await self._dialer.dial(lambda link: link.subscribe(channels))
        try:
            yield link.messages(heartbeat)
        finally:
            await link.close()

    async def _send(
        self, packed: Sequence[bytes], keys: Sequence[bytes | None], expected: Expected = _ANYTHING
    ) -> list[Reply]:
        slots = None if self._facts is None else self._facts.slots
        if slots is None:
            replies = await self._exchange(self._home, b"".join(packed), len(packed), expected)
        else:
            replies = await self._scatter(slots, packed, keys, expected)
        for place, reply in enumerate(replies):
            if isinstance(reply, RedisReplyError) and reply.code in {"MOVED", "ASK"}:
                replies[place] = await self._follow(reply, packed[place], expected.of([place]))
        return replies

    async def _scatter(
        self,
        slots: SlotMap,
        packed: Sequence[bytes],
        keys: Sequence[bytes | None],
        expected: Expected,
    ) -> list[Reply]:
        """Send each command to the server of its key, all at once."""
        places: dict[LinkPool, list[int]] = {}
        for place, key in enumerate(keys):
            pool = self._home if key is None else self._pool_at(slots.address(key))
            places.setdefault(pool, []).append(place)
        replies: list[Reply] = [None] * len(packed)
        gone: list[RedisError] = []

        async def ask(pool: LinkPool, chosen: list[int]) -> None:
            joined = b"".join([packed[place] for place in chosen])
            try:
                answers = await self._exchange(pool, joined, len(chosen), expected.of(chosen))
            except RedisError as error:  # the others are not stopped for that
                gone.append(error)
                return
            for place, answer in zip(chosen, answers, strict=True):
                replies[place] = answer

        async with TaskGroup() as group:
            for pool, chosen in places.items():
                group.create_task(ask(pool, chosen))
        if gone:
            self._facts = None  # who has which slots may have changed
            raise gone[0]
        return replies

    async def _follow(self, reply: RedisReplyError, packed: bytes, expected: Expected) -> Reply:
        """Send a command that was not run to the server that the refusal named; once."""
        host, _, port = reply.message.split()[1].rpartition(":")
        pool = self._pool_at((host or self._dialer.host, int(port)))
        if reply.code == "ASK":
            return (await self._exchange(pool, pack(("ASKING",)) + packed, 2))[1]
        async with pool.link() as link:
            self._facts = await self._ask(link)
        return (await self._exchange(pool, packed, 1, expected))[0]

    async def _exchange(
        self, pool: LinkPool, packed: bytes, replies: int, expected: Expected = _ANYTHING
    ) -> list[Reply]:
        async with pool.link() as link:
            answers = await link.exchange(packed, replies, expected.most)
            for answer, length in zip(answers, expected.lengths, strict=False):
                if not isinstance(answer, RedisReplyError) and not (
                    isinstance(answer, list) and len(answer) == length
                ):
                    raise RedisUnavailableError(f"redis at {self._dialer.name}: an answer was garbled")
            return answers

    def _pool_at(self, address: tuple[str, int] | None) -> LinkPool:
        if address is None:
            return self._home
        if address not in self._pools:
            self._pools[address] = self._pool(address)
        return self._pools[address]

    def _pool(self, address: tuple[str, int] | None) -> LinkPool:
        async def dial() -> Link:
            link, self._facts = await self._dialer.dial(self._ask, address)
            return link

        return LinkPool(dial, size=self._size)

    async def _ask(self, link: Link) -> Facts:
        return facts_of(await link.exchange(QUESTIONS, QUESTION_COUNT), self._dialer.host)

    async def _ask_anyone(self) -> Facts:
        """Ask the server of the URL, or when it is gone another of the cluster."""
        gone = RedisUnavailableError("the connection is closed")
        for pool in list(dict.fromkeys((self._home, *self._pools.values()))):
            try:
                async with pool.link() as link:
                    return await self._ask(link)
            except RedisUnavailableError as error:
                gone = error
        raise gone
