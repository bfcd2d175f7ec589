"""Connections borrowed from a client of redis-py that a program has already.

They bring its TLS, its logins, its sentinels; what is said over them is the same as over our own. A borrowed
connection is kept until it is lost or the `RedisConnection` is closed: a pool is asked once for each.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import redis.exceptions
from redis.asyncio import Redis, RedisCluster

from async_backfill.errors import ConfigurationError
from async_backfill.redis._bounded import TextTooLongError
from async_backfill.redis._client import TROUBLE, ClientLink, explained, require_release
from async_backfill.redis._cluster_client import ClusterDialer
from async_backfill.redis.errors import RedisError, RedisUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from redis.asyncio.connection import Connection, ConnectionPool

    from async_backfill.redis._wire import Reply

T = TypeVar("T")

_GOODBYE: Final = 1.0
_OF_A_CLUSTER: Final = "a server of a cluster: give it a RedisCluster, not a Redis, or its URL to `connect`"


def dialer_of(client: Redis | RedisCluster, connect_timeout: float) -> ClientDialer | ClusterDialer:
    """Return what connects with ``client``.

    :raises ConfigurationError: when that is no client for asyncio.
    """
    if isinstance(client, RedisCluster):
        return ClusterDialer(client, connect_timeout)
    if isinstance(client, Redis):
        return ClientDialer(client, connect_timeout)
    kind = type(client)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
    raise ConfigurationError("client", f"must be a Redis or a RedisCluster of redis.asyncio, not a {name}")


class ClientDialer:
    """Borrows connections from the pool of ``client``, in place of a `Dialer`.

    :param connect_timeout: seconds for borrowing a connection, opening it included.
    """

    address = None
    host = ""

    def __init__(self, client: Redis, connect_timeout: float) -> None:
        require_release()
        self._pool: ConnectionPool = client.connection_pool
        self._connect_timeout = connect_timeout
        self._returning: set[asyncio.Task[None]] = set()
        self._home: tuple[int, asyncio.AbstractEventLoop] | None = None
        known: dict[str, Any] = self._pool.connection_kwargs
        self.user = str(known.get("username") or "default")
        group = getattr(self._pool, "service_name", None)
        place = f"{known.get('host', 'localhost')}:{known.get('port', 6379)}"
        self.name = str(group or known.get("path") or place)

    async def dial(
        self, greet: Callable[[ClientLink], Awaitable[T]], address: tuple[str, int] | None = None
    ) -> tuple[ClientLink, T]:
        """Borrow a connection and call ``greet``; return the connection and the result of ``greet``.

        :raises RedisUnavailableError: when none is there in time, or ``address`` is that of another server.
        """
        if address is not None:
            raise RedisUnavailableError(f"redis at {self.name}: it is {_OF_A_CLUSTER}")
        self._be_at_home()
        link, failures = None, list[BaseException]()
        try:
            async with asyncio.timeout(self._connect_timeout):
                link = BorrowedLink(await self._borrow(failures), self.name, self._give_back)
                return link, await greet(link)
        except BaseException as error:
            if link is not None:
                await link.close()
            if isinstance(error, TimeoutError) and not failures:
                reason = f"no connection of the client's within {self._connect_timeout} s"
                raise RedisUnavailableError(f"redis at {self.name}: {reason}") from error
            if isinstance(error, Exception) and not isinstance(error, RedisError):  # that one is
                raise explained((*failures, error)[0], self.name) from error
            raise

    def _be_at_home(self) -> None:
        """Refuse another process and event loop: the pool would lend what is connected in the first."""
        here = os.getpid(), asyncio.get_running_loop()
        self._home = self._home or here
        if self._home != here:
            reason = "the client was used in another process or event loop: make it, and this, anew in each"
            raise RedisUnavailableError(f"redis at {self.name}: {reason}")

    async def _borrow(self, failures: list[BaseException]) -> Connection:
        # In a task: redis-py's pool would count a connection for ever whose giving back is cancelled, too.
        borrowing = asyncio.create_task(self._get(failures))
        try:
            return await asyncio.shield(borrowing)
        except asyncio.CancelledError:
            borrowing.cancel()
            borrowing.add_done_callback(self._borrowed_late)
            await asyncio.wait([borrowing], timeout=_GOODBYE)
            raise

    async def _get(self, failures: list[BaseException]) -> Connection:
        """Return a connection; when it is stopped while the client tries again, note why it does."""
        try:
            connection: Connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
        except asyncio.CancelledError as error:
            if isinstance(error.__context__, TROUBLE):
                failures.append(error.__context__)
            raise
        return connection

    def _borrowed_late(self, borrowing: asyncio.Task[Any]) -> None:
        if not borrowing.cancelled() and borrowing.exception() is None:
            self._give_back(borrowing.result())

    def _give_back(self, connection: Connection) -> asyncio.Task[None]:
        returning: asyncio.Task[None] = asyncio.create_task(self._release(connection))
        self._returning.add(returning)
        returning.add_done_callback(self._returning.discard)
        return returning

    async def _release(self, connection: Connection) -> None:
        with suppress(*TROUBLE, KeyError):  # the pool was closed, or begun anew after a fork
            await self._pool.release(connection)


class BorrowedLink(ClientLink):
    """A connection of somebody else's pool, which gets it back.

    :param give_back: begins to return the connection.
    """

    def __init__(
        self, connection: Connection, name: str, give_back: Callable[[Connection], asyncio.Task[None]]
    ) -> None:
        super().__init__(connection, name)
        self._read = partial(connection.read_response, disable_decoding=True)
        self._give_back = give_back
        self._is_back = False

    async def exchange(self, packed: bytes, replies: int, /, most: int | None = None) -> list[Reply]:
        """Send ``packed`` and return the given number of replies; see `Link`.

        :raises TextTooLongError: when a reply has a text of more than ``most`` bytes; all of it was read.
        """
        answers = await super().exchange(packed, replies)
        if most is not None and any(_longest(answer) > most for answer in answers):
            raise TextTooLongError
        return answers

    async def is_usable(self) -> bool:
        """Return whether the connection is open and has nothing unread; log in again if the client is to."""
        try:
            await self._connection.re_auth()  # type: ignore[no-untyped-call]  # it does so in giving back only
        except (redis.exceptions.RedisError, OSError):
            return False
        is_to_go: bool = self._connection.should_reconnect()  # type: ignore[no-untyped-call]
        return not is_to_go and await super().is_usable()

    async def close(self) -> None:
        """Close the connection at once, and give it back; raises nothing."""
        if not self._is_back:  # else it may be lent to another by now
            await super().close()
            await self._return()

    async def aclose(self) -> None:
        """Give the connection back as it is."""
        await self._return()

    async def _return(self) -> None:
        if not self._is_back:
            self._is_back = True
            await asyncio.shield(self._give_back(self._connection))


def _longest(answer: Reply) -> int:
    if isinstance(answer, list):
        return max(map(_longest, answer), default=0)
    return len(answer) if isinstance(answer, bytes) else 0
