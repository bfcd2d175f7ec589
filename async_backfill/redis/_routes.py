"""Which server a command goes to: that of the URL, or of its key in a cluster; again after a failover."""

from __future__ import annotations

from asyncio import TaskGroup, get_running_loop
from typing import TYPE_CHECKING, Final

from async_backfill.redis._client import pack
from async_backfill.redis._facts import QUESTION_COUNT, QUESTIONS, facts_of
from async_backfill.redis._pool import LinkPool
from async_backfill.redis._wire import Expected
from async_backfill.redis.errors import RedisError, RedisReplyError, RedisUnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backfill.redis._client import ClientLink
    from async_backfill.redis._dialer import Dialer
    from async_backfill.redis._facts import Facts
    from async_backfill.redis._own_client import ClientDialer
    from async_backfill.redis._pool import Link
    from async_backfill.redis._wire import Reply

_ANYTHING: Final = Expected()
_MOVED: Final = frozenset({"MOVED", "ASK"})
_NOT_IN_CHARGE: Final = frozenset({"READONLY", "MASTERDOWN", "CLUSTERDOWN"})
_OF_A_SCRIPT: Final = " -READONLY "  # before Redis 7 a script's error has it in its text
_BETWEEN_LOOKS: Final = 1.0


class Routes:
    """The servers behind a connection.

    A server that is no primary any more refuses to write: the command did not run. So its sockets are given
    up, the name of the URL is looked up again, and what was refused is sent once more, to whatever is found.
    A second refusal is the answer. At most one look a second is made.

    :param size: the largest number of connections to each server.
    """

    def __init__(self, dialer: Dialer | ClientDialer, size: int) -> None:
        self._dialer = dialer
        self._size = size
        self._home = self._pool(None)
        self._pools: dict[tuple[str, int], LinkPool] = {}
        if dialer.address is not None:
            self._pools[dialer.address] = self._home
        self._next_look = 0.0
        self._is_closed = False
        self.known: Facts | None = None
        """What the server reported when it was last connected to."""
        self.subscribed: set[Link] = set()
        """The open subscriptions: they end when the name is looked up again."""

    async def aclose(self) -> None:
        """Close all connections that are not lent; lent ones once they are returned."""
        self._is_closed = True
        for pool in (self._home, *self._pools.values()):
            await pool.aclose()

    def require_open(self) -> None:
        """Refuse what would open a connection that nobody closes.

        :raises RedisUnavailableError: once it is closed.
        """
        if self._is_closed:
            raise RedisUnavailableError("the connection is closed")

    async def send(
        self, packed: Sequence[bytes], keys: Sequence[bytes | None], expected: Expected = _ANYTHING
    ) -> list[Reply]:
        """Send commands, each to the server of its key, and return their replies; refusals are replies."""
        began = self._home.age
        replies = await self._send(packed, keys, expected)
        refused = [place for place, reply in enumerate(replies) if isinstance(reply, RedisReplyError)]
        if refused:
            again = await self._left(began, keys, [p for p in refused if _is_left(replies[p])])
            if again:
                sent = [packed[place] for place in again], [keys[place] for place in again]
                for place, reply in zip(again, await self._send(*sent, expected.of(again)), strict=True):
                    replies[place] = reply
            for place in refused:
                reply = replies[place]
                if isinstance(reply, RedisReplyError) and reply.code in _MOVED:
                    replies[place] = await self._follow(reply, packed[place], expected.of([place]))
        return replies

    async def at(self, address: tuple[str, int] | None, packed: Sequence[bytes]) -> list[Reply]:
        """Send commands to the server at ``address`` and return their replies; refusals are replies."""
        return await self._exchange(self._pool_at(address), b"".join(packed), len(packed))

    @property
    def failovers(self) -> int:
        """How often the server of the URL was left."""
        return self._home.age

    async def facts(self, *, anew: bool = False) -> Facts:
        """Return `known`; ask the server when nothing is, or ``anew``."""
        if self.known is None or anew:
            self.known = await self._ask_anyone()
        return self.known

    async def _left(self, began: int, keys: Sequence[bytes | None], places: Sequence[int]) -> Sequence[int]:
        """Leave the server that refused the commands at ``places``; return what to send again.

        :param began: the age of the home pool when the commands were sent.
        :param keys: those of all commands.
        """
        if not places:
            return ()
        if self.known is None or self.known.slots is None:
            if not self._home.renew(began):
                return ()
            for link in tuple(self.subscribed):
                await link.close()
            # Also what a replica took: a message published there reaches nobody.
            return range(places[0], len(keys))
        now = get_running_loop().time()
        if now < self._next_look:
            return ()
        self._next_look = now + _BETWEEN_LOOKS
        for address in self.known.slots.addresses:
            self._pool_at(address)
        key = keys[places[0]]
        # Another one, if there is: who refuses may be cut off, and know nothing newer.
        self.known = await self._ask_anyone(last=key and self._pool_at(self.known.slots.address(key)))
        return places

    async def _send(
        self, packed: Sequence[bytes], keys: Sequence[bytes | None], expected: Expected
    ) -> list[Reply]:
        slots = None if self.known is None else self.known.slots
        if slots is None:
            return await self._exchange(self._home, b"".join(packed), len(packed), expected)
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
            self.known = None  # who has which slots may have changed
            raise gone[0]
        return replies

    async def _follow(self, reply: RedisReplyError, packed: bytes, expected: Expected) -> Reply:
        """Send a command that was not run to the server that the refusal named; once."""
        host, _, port = reply.message.split()[1].rpartition(":")
        pool = self._pool_at((host or self._dialer.host, int(port)))
        if reply.code == "ASK":
            return (await self._exchange(pool, pack(("ASKING",)) + packed, 2, expected))[1]
        async with pool.link() as link:
            self.known = await self._ask(link)
        return (await self._exchange(pool, packed, 1, expected))[0]

    async def _exchange(
        self, pool: LinkPool, packed: bytes, replies: int, expected: Expected = _ANYTHING
    ) -> list[Reply]:
        async with pool.link() as link:
            answers = await link.exchange(packed, replies, expected.most)
            asked = answers[replies - len(expected.lengths) :]  # without that to ASKING
            for answer, length in zip(asked, expected.lengths, strict=True):
                if not isinstance(answer, RedisReplyError) and not (
                    isinstance(answer, list) and len(answer) == length
                ):
                    raise RedisUnavailableError(f"redis at {self._dialer.name}: an answer was garbled")
            return answers

    def _pool_at(self, address: tuple[str, int] | None) -> LinkPool:
        if address is None:
            return self._home
        if address not in self._pools:
            self.require_open()
            self._pools[address] = self._pool(address)
        return self._pools[address]

    def _pool(self, address: tuple[str, int] | None) -> LinkPool:
        async def dial() -> ClientLink:
            link, self.known = await self._dialer.dial(self._ask, address)
            return link

        return LinkPool(dial, size=self._size)

    async def _ask(self, link: Link) -> Facts:
        return facts_of(await link.exchange(QUESTIONS, QUESTION_COUNT), self._dialer.host)

    async def _ask_anyone(self, *, last: object = None) -> Facts:
        """Ask the server of the URL, or when it is gone another of the cluster; that of the pool last."""
        gone = RedisUnavailableError("the connection is closed")
        pools = dict.fromkeys((self._home, *self._pools.values()))
        for pool in sorted(pools, key=lambda pool: pool is last):
            try:
                async with pool.link() as link:
                    return await self._ask(link)
            except RedisUnavailableError as error:
                gone = error
        raise gone


def _is_left(reply: RedisReplyError) -> bool:
    """Return whether ``reply`` is that of a server which is no primary, or of no use in its cluster."""
    return reply.code in _NOT_IN_CHARGE or (reply.code == "ERR" and _OF_A_SCRIPT in reply.message)
