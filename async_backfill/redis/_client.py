"""Single connections of redis-py, with commands packed by hiredis; the only module that imports them.

redis-py only opens, secures, reads and closes a socket: its packing, pipelines and pool cost more time than
the server does. Nothing is retried, so a caller's deadline holds: see decision 40 in notes.md.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from urllib.parse import urlsplit

import hiredis
import redis.exceptions
from redis._parsers.hiredis import _AsyncHiredisParser
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection, parse_url

from async_backfill._common.validation import text
from async_backfill.errors import ConfigurationError
from async_backfill.redis._bounded import LengthWatch, TextTooLongError
from async_backfill.redis.errors import RedisReplyError, RedisUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from async_backfill.redis._wire import Command, Reply

T = TypeVar("T")

_ALIASES: Final = MappingProxyType({"valkey": "redis", "valkeys": "rediss"})
_SCHEMES: Final = ("redis", "rediss", "valkey", "valkeys", "unix")
_LONGEST_MESSAGE: Final = 1_000_000  # bytes; those of this package are shorter
_GOODBYE: Final = 1.0
_LEFT: Final = "it is no primary any more"
_SILENCE: Final = "the server was silent for too long"
_FIXED: Final = MappingProxyType(
    {
        "protocol": 2,  # saves a round trip, and nothing of protocol 3 is needed
        "driver_info": None,  # saves another round trip
        "socket_connect_timeout": None,
        "socket_timeout": None,  # deadlines are the caller's
        "decode_responses": False,
        "health_check_interval": 0,
        "retry": None,
        "retry_on_timeout": False,
        "retry_on_error": (),
    }
)

_Trouble = (redis.exceptions.RedisError, OSError)


class _Parser(_AsyncHiredisParser):
    """A parser of answers that stops at a text that is too long, while ``watch`` is set."""

    __slots__ = ("watch",)

    def __init__(self, socket_read_size: int) -> None:
        super().__init__(socket_read_size=socket_read_size)
        self.watch: LengthWatch | None = None

    async def read_from_socket(self) -> bool:
        if self.watch is None:
            return bool(await super().read_from_socket())  # type: ignore[no-untyped-call]
        stream, reader = cast("asyncio.StreamReader", self._stream), cast("hiredis.Reader", self._reader)
        piece = await stream.read(self._read_size)
        if not piece:
            raise redis.exceptions.ConnectionError("the server closed the connection")
        if self.watch.finds_too_long(piece):
            raise TextTooLongError
        reader.feed(piece)
        return True


def pack(command: Command) -> bytes:
    """Return ``command`` as the bytes to send."""
    packed: bytes = hiredis.pack_command(tuple(command))  # type: ignore[arg-type]  # its stub knows one argument
    return packed


class Dialer:
    """A factory of connections to the server of ``url``, or to others of its cluster.

    :param connect_timeout: seconds for opening a connection and logging in.
    :raises ConfigurationError: for a URL that cannot be used; no text shows a password.
    """

    def __init__(self, url: str, connect_timeout: float) -> None:
        self._kind, self._settings = _settings(url)
        self._connect_timeout = connect_timeout
        self.user = str(self._settings.get("username") or "default")
        try:
            template = self._kind(**self._settings)
        except (TypeError, ValueError, redis.exceptions.RedisError) as error:
            raise ConfigurationError("url", f"has a setting that cannot be used: {error}") from None
        self._tls = template.ssl_context if isinstance(template, SSLConnection) else None
        self.address: tuple[str, int] | None = None
        """Host and port; ``None`` for a Unix socket."""
        if isinstance(template, UnixDomainSocketConnection):
            self.name, self.host = str(template.path), ""
        else:
            self.address = (template.host, int(template.port))
            self.name, self.host = f"{template.host}:{template.port}", template.host

    async def dial(
        self, greet: Callable[[ClientLink], Awaitable[T]], address: tuple[str, int] | None = None
    ) -> tuple[ClientLink, T]:
        """Open a connection and call ``greet``; return the connection and the result of ``greet``.

        :param greet: the first exchange on the connection; it counts towards ``connect_timeout``.
        :param address: host and port of another server of the cluster; ``None`` is the server of the URL.
        :raises RedisUnavailableError: when no server answers in time.
        :raises RedisReplyError: when the server refuses the login.
        """
        settings, name = {**self._settings, "parser_class": _Parser}, self.name
        if address is not None:
            settings = {**settings, "host": address[0], "port": address[1]}
            name = f"{address[0]}:{address[1]}"
        connection = self._kind(**settings)
        if isinstance(connection, SSLConnection) and self._tls is not None:
            connection.ssl_context = self._tls  # reading the certificates takes 20 ms: do it once
        link = ClientLink(connection, name)
        try:
            async with asyncio.timeout(self._connect_timeout):
                await link.open()
                return link, await greet(link)
        except TimeoutError as error:
            await link.close()
            reason = f"not connected within {self._connect_timeout} s"
            raise RedisUnavailableError(f"redis at {name}: {reason}") from error
        except BaseException:
            await link.close()
            raise


class ClientLink:
    """One connection to a server; implements `Link`."""

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection
        self._name = name
        self._is_closed = False

    async def open(self) -> None:
        """Open the connection and log in."""
        try:
            await self._connection.connect()  # type: ignore[no-untyped-call]
        except _Trouble as error:
            raise self.explain(error) from error

    async def exchange(self, packed: bytes, replies: int, /, most: int | None = None) -> list[Reply]:
        """Send ``packed`` and return the given number of replies; error replies are returned, not raised.

        :raises TextTooLongError: when a reply has a text of more than ``most`` bytes; the rest is unread.
        """
        answers: list[Reply] = []
        read = self._connection.read_response
        parser = cast("_Parser", self._connection._parser)  # noqa: SLF001 - made in `dial`
        parser.watch = None if most is None else LengthWatch(most)
        try:
            await self._connection.send_packed_command([packed])
            while len(answers) < replies:
                try:
                    answers.append(await read())
                except redis.exceptions.ResponseError as error:
                    answers.append(_refusal(error))
        except _Trouble as error:
            raise self.explain(error) from error
        return answers

    async def subscribe(self, channels: Sequence[bytes]) -> None:
        """Subscribe to ``channels``; the server confirms them all before it sends the first message."""
        try:
            await self._connection.send_packed_command([pack(("SUBSCRIBE", *channels))])
            for _ in channels:
                await self._connection.read_response()
        except _Trouble as error:
            raise self.explain(error) from error

    async def messages(self, heartbeat: float) -> AsyncIterator[tuple[bytes, bytes]]:
        """Yield published messages as (channel, payload); ping after ``heartbeat`` silent seconds.

        :raises TextTooLongError: at a message that is too long; the rest is unread.
        """
        asked = False
        cast("_Parser", self._connection._parser).watch = LengthWatch(_LONGEST_MESSAGE)  # noqa: SLF001 - see above
        try:
            while True:
                reply = await self._connection.read_response(timeout=heartbeat)
                if self._is_closed:  # else redis-py would connect again, without a subscription
                    raise RedisUnavailableError(f"redis at {self._name}: {_LEFT}")
                if reply is not None:
                    asked = False
                    if reply[0] == b"message":
                        yield reply[1], reply[2]
                        await asyncio.sleep(0)  # while more has arrived, reading does not let others run
                elif asked:
                    raise RedisUnavailableError(f"redis at {self._name}: {_SILENCE}")
                else:
                    await self._connection.send_packed_command([pack(("PING",))])
                    asked = True
        except _Trouble as error:
            raise self.explain(error) from error

    async def is_usable(self) -> bool:
        """Return whether the connection is open and has nothing unread."""
        if not self._connection.is_connected:
            return False
        try:
            return not await self._connection.can_read()
        except redis.exceptions.RedisError:
            return False

    async def close(self) -> None:
        """Close the connection at once; raises nothing."""
        self._is_closed = True
        await self._connection.disconnect(nowait=True)

    async def aclose(self) -> None:
        """Shut the connection down, as TLS requires, and close it within a second; raises nothing."""
        with suppress(TimeoutError, *_Trouble):
            async with asyncio.timeout(_GOODBYE):
                await self._connection.disconnect()

    def explain(self, error: BaseException) -> RedisReplyError | RedisUnavailableError:
        """Return the error for the caller in place of ``error``."""
        status = getattr(error, "status_code", None)
        if status is not None:
            return RedisReplyError(status, f"{error} (redis at {self._name})".removeprefix(f"{status} "))
        return RedisUnavailableError(f"redis at {self._name}: {str(error) or type(error).__name__}")


def _refusal(error: redis.exceptions.ResponseError) -> RedisReplyError:
    if error.status_code is not None:
        return RedisReplyError(error.status_code, str(error))
    code, _, message = str(error).partition(" ")
    return RedisReplyError(code, message)


def _settings(url: str) -> tuple[type[Connection], dict[str, Any]]:
    scheme, separator, rest = text("url", url).partition("://")
    if scheme not in _SCHEMES or not separator:
        schemes = ", ".join(f"{known}://" for known in _SCHEMES)
        raise ConfigurationError("url", f"must begin with one of {schemes}")
    url = f"{_ALIASES.get(scheme, scheme)}://{rest}"
    try:
        database = urlsplit(url).path.strip("/")
        settings: dict[str, Any] = dict(parse_url(url))
    except ValueError:  # its text may have the password in it
        raise ConfigurationError(
            "url", "must be like redis://user:password@host:port/0, special letters as %xx"
        ) from None
    if scheme != "unix" and database and not (database.isascii() and database.isdigit()):
        raise ConfigurationError("url", "must have the number of a database as its path, such as /0")
    kind = settings.pop("connection_class", Connection)
    return kind, {**settings, **_FIXED}
