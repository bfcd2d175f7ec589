"""A connection to Redis or Valkey, one server or a cluster: commands, scripts and subscriptions."""

from __future__ import annotations

import hashlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Self

from async_backfill._common.validation import positive_seconds, whole
from async_backfill.redis._client import pack
from async_backfill.redis._cluster import by_slot
from async_backfill.redis._dialer import Dialer
from async_backfill.redis._own_client import dialer_of
from async_backfill.redis._routes import Routes
from async_backfill.redis._wire import Expected
from async_backfill.redis.errors import RedisReplyError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from ssl import SSLContext

    from redis.asyncio import Redis, RedisCluster

    from async_backfill.contracts import Seconds
    from async_backfill.redis._facts import Facts
    from async_backfill.redis._own_client import ClientDialer
    from async_backfill.redis._wire import Argument, Command, Reply
    from async_backfill.redis.credentials import Credentials

__all__ = ["RedisConnection", "connect", "from_client"]


def connect(
    url: str,
    *,
    max_connections: int = 8,
    connect_timeout: Seconds = 2.0,
    ssl_context: SSLContext | None = None,
    credentials: Callable[[], Awaitable[Credentials]] | None = None,
) -> RedisConnection:
    """Return a connection to the server at ``url``; nothing is sent before the first command.

    :param url: ``redis://user:password@host:6379/0``, ``rediss://`` with TLS (certificate and name
        are verified), or ``unix:///path``; ``valkey://`` and ``valkeys://`` mean the same. Of a cluster
        any server will do. ``redis+sentinel://user:password@host:26379,host:26379/name/0`` is the primary
        that the sentinels name whenever a socket is opened; their own login may follow as
        ``?sentinel_username=...&sentinel_password=...``.
    :param max_connections: commands in progress at the most, 1 or more; more of them wait.
    :param connect_timeout: seconds within which a socket must be open and logged in. A shorter deadline
        of a caller does not stop that: the next caller may find it done.
    :param ssl_context: TLS with CAs and certificates of your own, for ``rediss://``; it must verify what it
        should. ``?ssl_ca_certs=/path`` in the URL does for a CA alone.
    :param credentials: an async function that returns the `Credentials` of a socket; called for each new one,
        within ``connect_timeout``. The URL has then no user and no password.
    :raises ConfigurationError: when any of them cannot be used; the text shows no password.
    """
    return RedisConnection(
        url,
        max_connections=max_connections,
        connect_timeout=connect_timeout,
        ssl_context=ssl_context,
        credentials=credentials,
    )


def from_client(
    client: Redis | RedisCluster, *, max_connections: int = 8, connect_timeout: Seconds = 2.0
) -> RedisConnection:
    """Return a connection that borrows the connections of a ``client`` of redis-py; it closes none of them.

    All holds that holds with `connect`; reads take a little longer, and a value that is too large is read
    before it is refused. The client's settings say how it connects, logs in and finds the server; neither its
    retries, its checks of health nor its decoding are used. A borrowed connection is kept for each command
    that is in progress at once, and one for each subscription: the client's pool must have as many more.

    A `redis.asyncio.RedisCluster` lends none: its start nodes, login or credential provider, TLS and
    ``address_remap`` are used for connections of our own, which `RedisConnection.aclose` closes. It need not
    have been connected, nor stay open.

    :param client: a `redis.asyncio.Redis`, also one of a `redis.asyncio.Sentinel`, or a
        `redis.asyncio.RedisCluster`.
    :param max_connections: commands in progress at the most, 1 or more; more of them wait.
    :param connect_timeout: seconds within which the client must give a connection.
    :raises ConfigurationError: when any of them cannot be used.
    """
    dialer = dialer_of(client, positive_seconds("connect_timeout", connect_timeout))
    connection = RedisConnection.__new__(RedisConnection)
    connection._use(dialer, max_connections)  # noqa: SLF001 - the same room
    return connection


class RedisConnection:
    """Sends commands to a server, over a few sockets; use it in one event loop, and `aclose` it there.

    A command has no deadline of its own: use `anyio.move_on_after` or `anyio.fail_after`. One that is
    cancelled takes its socket with it, so its answer can never be that of another command. After a fork each
    process connects anew.
    Everything raises `RedisUnavailableError` when no answer came, and `RedisReplyError` when the server
    refused. A server that is no primary any more is left: once a second at the most its sockets are closed,
    the name is looked up again, and what it refused is sent once more. See `connect` for the parameters.
    """

    def __init__(
        self,
        url: str,
        *,
        max_connections: int = 8,
        connect_timeout: Seconds = 2.0,
        ssl_context: SSLContext | None = None,
        credentials: Callable[[], Awaitable[Credentials]] | None = None,
    ) -> None:
        timeout = positive_seconds("connect_timeout", connect_timeout)
        self._use(Dialer(url, timeout, ssl_context=ssl_context, credentials=credentials), max_connections)

    def _use(self, dialer: Dialer | ClientDialer, max_connections: int) -> None:
        self._dialer = dialer
        self._routes = Routes(dialer, whole("max_connections", max_connections, least=1))

    def __repr__(self) -> str:
        return f"RedisConnection({self._dialer.name!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @property
    def user(self) -> str:
        """The name of the user that it logs in as; with ``credentials`` the latest."""
        return self._dialer.user

    @property
    def failovers(self) -> int:
        """How often it has left a server that was no primary any more, and looked its name up again."""
        return self._routes.failovers

    async def aclose(self) -> None:
        """Close the sockets; commands in progress get answers, later ones and subscriptions are refused."""
        await self._routes.aclose()

    async def execute(self, *command: Argument, key: bytes | None = None, most: int | None = None) -> Reply:
        """Send one command and return its answer; in a cluster ``key`` says where it goes.

        A text of more than ``most`` bytes is not read; that raises a `RedisError`.
        """
        reply = (await self._routes.send([pack(command)], [key], Expected(most=most)))[0]
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
        return await self._routes.send(packed, keys or [None] * len(commands), Expected(lengths, most))

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
        slots = (await self._routes.facts(anew=True)).slots
        return [None] if slots is None else sorted(slots.addresses)

    async def at(self, address: tuple[str, int] | None, *command: Argument) -> Reply:
        """Send one command to the server at ``address`` and return its answer."""
        (reply,) = await self.all_at(address, [command])
        if isinstance(reply, RedisReplyError):
            raise reply
        return reply

    async def all_at(self, address: tuple[str, int] | None, commands: Sequence[Command]) -> list[Reply]:
        """Send ``commands`` to the server at ``address`` in one round trip; a refusal is an answer."""
        return await self._routes.at(address, [pack(command) for command in commands])

    async def groups(self, keys: Sequence[bytes]) -> list[Sequence[int]]:
        """Return the places of ``keys`` that one command may have together: all, or in a cluster a slot's."""
        facts = self._routes.known or await self._routes.facts()
        return [range(len(keys))] if facts.slots is None else by_slot(keys)

    async def facts(self) -> Facts:
        """Return the capabilities that the server reported when it was last connected to, or reports now."""
        return await self._routes.facts()

    @asynccontextmanager
    async def subscribe(
        self, *channels: bytes, heartbeat: float = 1.0
    ) -> AsyncIterator[AsyncIterator[tuple[bytes, bytes]]]:
        """Subscribe to ``channels`` over a socket of its own, for the length of the block.

        The block gets an iterator of channels and payloads. It begins once the server has confirmed;
        what is published from then on comes, until the iterator raises `RedisUnavailableError`: at the
        latest when nothing, nor an answer to a ``PING``, was heard for twice ``heartbeat`` seconds.
        """
        self._routes.require_open()
        link, _ = await self._dialer.dial(lambda link: link.subscribe(channels))
        self._routes.subscribed.add(link)
        try:
            yield link.messages(heartbeat)
        finally:
            self._routes.subscribed.discard(link)
            await link.close()
