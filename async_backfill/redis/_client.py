"""Single connections of redis-py, with commands packed by hiredis.

redis-py only opens, secures, reads and closes a socket: its packing, pipelines and pool cost more time than
the server does. Nothing is retried, so a caller's deadline holds: see decision 40 in notes.md.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Final, cast

import hiredis
import redis.exceptions
from redis._parsers.hiredis import _AsyncHiredisParser

from async_backfill.errors import MissingExtraError
from async_backfill.redis._bounded import LengthWatch, TextTooLongError
from async_backfill.redis.errors import RedisReplyError, RedisUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from redis.asyncio.connection import Connection

    from async_backfill.redis._wire import Command, Reply

_OLDEST: Final = 8
_LONGEST_MESSAGE: Final = 1_000_000  # bytes; those of this package are shorter
_GOODBYE: Final = 1.0
_LEFT: Final = "it is no primary any more"
_UNKNOWN_ISSUER: Final = (18, 19, 20, 21)  # X509_V_ERR_* of OpenSSL
_SILENCE: Final = "the server was silent for too long"

TROUBLE: Final = (redis.exceptions.RedisError, OSError)
"""What redis-py raises when a connection cannot be opened, or was lost."""


def require_release() -> None:
    """Refuse a redis-py that lacks what is used here: who has installed one may not have asked for it.

    :raises MissingExtraError: when it is older than what the extra asks for.
    """
    if int(redis.__version__.partition(".")[0]) < _OLDEST:
        needed = f"needs redis {_OLDEST}.0 or later, not {redis.__version__}"
        message = f"async_backfill.redis: {needed}: pip install 'async-backfill[redis]'"
        raise MissingExtraError(message, name="redis")


class Parser(_AsyncHiredisParser):
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


class ClientLink:
    """One connection to a server; implements `Link`.

    :param until: the time of the event loop from which on it is not lent again.
    """

    def __init__(self, connection: Connection, name: str, until: float | None = None) -> None:
        self._connection = connection
        self.name = name
        self._until = until
        self._was_lent = False
        self._is_closed = False
        parser = connection._parser  # noqa: SLF001 - ours is made by a `Dialer`
        self._parser = parser if isinstance(parser, Parser) else None
        self._read: Callable[[], Awaitable[Reply]] = connection.read_response

    async def open(self) -> None:
        """Open the connection and log in."""
        try:
            await self._connection.connect()  # type: ignore[no-untyped-call]
        except Exception as error:
            raise self.explain(error) from error

    async def exchange(self, packed: bytes, replies: int, /, most: int | None = None) -> list[Reply]:
        """Send ``packed`` and return the given number of replies; error replies are returned, not raised.

        :raises TextTooLongError: when a reply has a text of more than ``most`` bytes; the rest is unread.
        """
        answers: list[Reply] = []
        read = self._read
        if self._parser is not None:
            self._parser.watch = None if most is None else LengthWatch(most)
        try:
            await self._send(packed)
            while len(answers) < replies:
                try:
                    answers.append(await read())
                except redis.exceptions.ResponseError as error:
                    answers.append(_refusal(error))
        except TROUBLE as error:
            raise self.explain(error) from error
        return answers

    async def subscribe(self, channels: Sequence[bytes]) -> None:
        """Subscribe to ``channels``; the server confirms them all before it sends the first message."""
        try:
            await self._send(pack(("SUBSCRIBE", *channels)))
            for _ in channels:
                await self._connection.read_response(disable_decoding=True, push_request=True)
        except TROUBLE as error:
            raise self.explain(error) from error

    async def messages(self, heartbeat: float) -> AsyncIterator[tuple[bytes, bytes]]:
        """Yield published messages as (channel, payload); ping after ``heartbeat`` silent seconds.

        :raises TextTooLongError: at a message that is too long; the rest is unread.
        """
        asked = False
        if self._parser is not None:
            self._parser.watch = LengthWatch(_LONGEST_MESSAGE)
        try:
            while True:
                self._require_open()  # while a message was dealt with, it may have become another's
                reply = await self._connection.read_response(
                    disable_decoding=True, timeout=heartbeat, push_request=True, disconnect_on_error=False
                )
                self._require_open()  # else redis-py would connect again, without a subscription
                if reply is not None:
                    asked = False
                    if reply[0] == b"message":
                        yield reply[1], reply[2]
                        await asyncio.sleep(0)  # while more has arrived, reading does not let others run
                elif asked:
                    raise ConnectionError(_SILENCE)
                else:
                    await self._send(pack(("PING",)))
                    asked = True
        except TROUBLE as error:
            raise self.explain(error) from error

    def _send(self, packed: bytes) -> Awaitable[None]:
        # redis-py's check of health would take a message for the answer to its PING, or connect again.
        return self._connection.send_packed_command([packed], check_health=False)

    def _require_open(self) -> None:
        if self._is_closed:
            raise ConnectionError(_LEFT)

    async def is_usable(self) -> bool:
        """Return whether the connection is open, has nothing unread and its login lasts."""
        if not self._connection.is_connected:
            return False
        if self._until is not None:
            if self._was_lent and asyncio.get_running_loop().time() >= self._until:
                return False
            self._was_lent = True  # at least once, or a caller would wait for the next one, and the next
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
        with suppress(TimeoutError, *TROUBLE):
            async with asyncio.timeout(_GOODBYE):
                await self._connection.disconnect()

    def explain(self, error: BaseException) -> RedisReplyError | RedisUnavailableError:
        """Return the error for the caller in place of ``error``."""
        return explained(error, self.name)


def explained(error: BaseException, name: str) -> RedisReplyError | RedisUnavailableError:
    """Return the error for a caller in place of ``error``, which came from the server ``name``."""
    status = getattr(error, "status_code", None)
    if status is not None:
        return RedisReplyError(status, f"{error} (redis at {name})".removeprefix(f"{status} "))
    reason = _of_tls(error) or str(error) or type(error).__name__
    if not isinstance(error, TROUBLE):  # its text may have a secret in it: it is the cause, and not shown
        reason = f"the credential provider of the client raised {type(error).__name__}"
    return RedisUnavailableError(f"redis at {name}: {reason}")


def _refusal(error: redis.exceptions.ResponseError) -> RedisReplyError:
    if error.status_code is not None:
        return RedisReplyError(error.status_code, str(error))
    code, _, message = str(error).partition(" ")
    return RedisReplyError(code, message)


def _of_tls(error: BaseException) -> str | None:
    """Return why TLS failed, from ``error`` or what it came from; ``None`` if it did not."""
    at: BaseException | None = error
    while at is not None:
        if isinstance(at, ssl.SSLCertVerificationError):
            way = " (own CAs: ssl_context= of connect)" if at.verify_code in _UNKNOWN_ISSUER else ""
            return f"its certificate is not accepted: {at.verify_message.rstrip('.')}{way}"
        if isinstance(at, ssl.SSLError):
            return f"TLS failed: {(at.reason or str(at)).lower().replace('_', ' ')}"
        at = at.__cause__ or at.__context__
    return None
