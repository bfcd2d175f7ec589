"""The connection to Redis or Valkey: the one module that knows the client, redis-py with hiredis.

Of redis-py only the single connections are used, with commands packed by hiredis: its pipelines and its
pool cost more than the server does. Nothing is retried, so a caller's deadline is a deadline.
"""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

import hiredis
import redis.exceptions
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection, parse_url

from async_backfill.errors import ConfigurationError
from async_backfill.limits import positive_seconds, text, whole
from async_backfill.redis.errors import RedisReplyError, RedisUnavailableError
from async_backfill.redis.pool import LinkPool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from types import TracebackType

    from async_backfill.redis.wire import Argument, Command, Reply

_ALIASES: Final = {"valkey": "redis", "valkeys": "rediss"}
_SCHEMES: Final = ("redis", "rediss", "valkey", "valkeys", "unix")
_CLOSING: Final = 1.0  # seconds that a TLS goodbye may take


def connect(url: str, *, max_connections: int = 8, connect_timeout: float = 2.0) -> RedisConnection:
    """Return a connection to the server at ``url``; nothing is sent before the first command.

    :param url: ``redis://user:password@host:6379/0``, ``rediss://`` with TLS (certificate and name
        are verified), or ``unix:///path``; ``valkey://`` and ``valkeys://`` mean the same.
    :param max_connections: commands in progress at the most, 1 or more; more of them wait.
    :param connect_timeout: seconds within which a socket must be open and let in.
    :raises ConfigurationError: when any of them cannot be used; the text shows no password.
    """
    return RedisConnection(url, max_connections=max_connections, connect_timeout=connect_timeout)


class RedisConnection:
    """Sends commands to a server, over a few sockets; use it in one event loop, and `aclose` it.

    A command has no deadline of its own: use `anyio.move_on_after` or `anyio.fail_after`. One that is
    cancelled takes its socket with it, so its answer can never be that of another command.
    Everything raises `RedisUnavailableError` when no answer came, and `RedisReplyError` when the server
    refused. See `connect` for the parameters.
    """

    def __init__(self, url: str, *, max_connections: int = 8, connect_timeout: float = 2.0) -> None:
        self._dialer = _Dialer(url, positive_seconds("connect_timeout", connect_timeout))
        self._pool = LinkPool(self._dialer.dial, size=whole("max_connections", max_connections, least=1))

    def __repr__(self) -> str:
        return f"RedisConnection({self._dialer.where!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the sockets; commands in progress get their answers, later ones are refused."""
        await self._pool.aclose()

    async def execute(self, *command: Argument, key: bytes | None = None) -> Reply:
        """Send one command and return its answer; in a cluster ``key`` says where it goes."""
        reply = (await self._exchange(hiredis.pack_command(command), 1))[0]
        if isinstance(reply, RedisReplyError):
            raise reply
        return reply

    async def pipeline(
        self, commands: Sequence[Command], *, keys: Sequence[bytes] | None = None
    ) -> list[Reply]:
        """Send ``commands`` in one round trip and return their answers; a refusal is one of them.

        They are not a transaction. In a cluster each of ``keys`` says where the command of its place goes.
        """
        if not commands:
            return []
        return await self._exchange(
            b"".join([hiredis.pack_command(tuple(c)) for c in commands]), len(commands)
        )

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

    async def groups(self, keys: Sequence[bytes]) -> list[Sequence[int]]:
        """Return the places of ``keys`` that one command may have together: all, or in a cluster a slot's."""
        return [range(len(keys))]

    @asynccontextmanager
    async def subscribe(self, *channels: bytes) -> AsyncIterator[AsyncIterator[tuple[bytes, bytes]]]:
        """Subscribe to ``channels`` over a socket of its own, for the length of the block.

        The block gets an iterator of channels and payloads. It begins once the server has confirmed;
        what is published from then on comes, until the iterator raises `RedisUnavailableError`.
        """
        link = await self._dialer.dial()
        try:
            await link.exchange(hiredis.pack_command(("SUBSCRIBE", *channels)), len(channels))
            yield link.messages()
        finally:
            await link.close()

    async def _exchange(self, packed: bytes, replies: int) -> list[Reply]:
        async with self._pool.link() as link:
            return await link.exchange(packed, replies)


class _Dialer:
    """Opens links to the server that a URL names."""

    def __init__(self, url: str, connect_timeout: float) -> None:
        self._kind, self._settings = _settings(url)
        self._settings["socket_connect_timeout"] = connect_timeout
        self._connect_timeout = connect_timeout
        try:
            template = self._kind(**self._settings)
        except (TypeError, ValueError, redis.exceptions.RedisError) as error:
            raise ConfigurationError("url", f"a setting of it is not one of redis-py: {error}") from None
        self._tls = template.ssl_context if isinstance(template, SSLConnection) else None
        self.where = self._settings.get("path") or f"{template.host}:{template.port}"

    async def dial(self) -> _Link:
        """Open a link and be let in, within the time for that."""
        connection = self._kind(**self._settings)
        if self._tls is not None:
            connection.ssl_context = self._tls  # reading the authorities of a machine takes 20 ms
        link = _Link(connection, self.where)
        try:
            async with asyncio.timeout(self._connect_timeout):
                await connection.connect()
        except BaseException as error:
            await link.close()
            if isinstance(error, TimeoutError | redis.exceptions.RedisError | OSError):
                raise link.explain(error) from error
            raise
        return link


class _Link:
    """One connection of redis-py, and its errors in our words."""

    def __init__(self, connection: Connection, where: str) -> None:
        self._connection = connection
        self._where = where

    async def exchange(self, packed: bytes, replies: int, /) -> list[Reply]:
        connection = self._connection
        answers: list[Reply] = []
        try:
            await connection.send_packed_command([packed])
            while len(answers) < replies:
                try:
                    answers.append(await connection.read_response())
                except redis.exceptions.ResponseError as error:
                    answers.append(_refusal(error))
        except (redis.exceptions.RedisError, OSError) as error:
            raise self.explain(error) from error
        return answers

    async def messages(self) -> AsyncIterator[tuple[bytes, bytes]]:
        while True:
            try:
                kind, channel, payload = await self._connection.read_response()
            except (redis.exceptions.RedisError, OSError) as error:
                raise self.explain(error) from error
            if kind == b"message":
                yield channel, payload

    async def is_usable(self) -> bool:
        try:
            return self._connection.is_connected and not await self._connection.can_read()
        except redis.exceptions.RedisError:
            return False

    async def close(self) -> None:
        await self._connection.disconnect(nowait=True)

    def explain(self, error: BaseException) -> RedisReplyError | RedisUnavailableError:
        """Return what the caller gets to see of ``error``."""
        status = getattr(error, "status_code", None)
        if status is not None:
            return RedisReplyError(status, f"{error} (redis at {self._where})")
        reason = str(error) or type(error).__name__
        return RedisUnavailableError(f"redis at {self._where}: {reason}")


def _refusal(error: redis.exceptions.ResponseError) -> RedisReplyError:
    code, _, message = str(error).partition(" ")
    return (
        RedisReplyError(code, message)
        if error.status_code is None
        else RedisReplyError(error.status_code, str(error))
    )


def _settings(url: str) -> tuple[type[Connection], dict[str, object]]:
    scheme, separator, rest = text("url", url).partition("://")
    if scheme not in _SCHEMES or not separator:
        raise ConfigurationError(
            "url", f"expected one that begins with {', '.join(f'{s}://' for s in _SCHEMES)}"
        )
    scheme = _ALIASES.get(scheme, scheme)
    try:
        parts = urlsplit(f"{scheme}://{rest}")
        database = parts.path.strip("/")
        if scheme != "unix" and database and not (database.isascii() and database.isdigit()):
            raise ConfigurationError("url", "the path is the number of a database, such as /0")
        settings = dict(parse_url(f"{scheme}://{rest}"))
    except ValueError as error:
        raise ConfigurationError("url", "it cannot be read") from error
    kind = settings.pop("connection_class", Connection)
    settings |= {
        "protocol": 2,
        "driver_info": None,  # a round trip less
        "socket_timeout": None,  # deadlines are the caller's
        "decode_responses": False,
        "health_check_interval": 0,
    }
    return kind, settings
