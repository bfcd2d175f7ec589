"""Ask the API of an operator's page: one request, in bounded time and memory, to that server alone."""

from __future__ import annotations

import json
import socket
import time
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from anyio.to_thread import run_sync

from async_backfill._commands.jobs.answers import FAILED, REFUSED, VerbError
from async_backfill._common.error_text import one_line
from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

_LARGEST: Final = 1 << 26
_AT_ONCE: Final = 1 << 16
_OK: Final = 200
_NOT_ALLOWED: Final = range(400, 500)


async def ask(address: str, fields: Mapping[str, Any] | None, *, token: str | None, timeout: float) -> Any:  # noqa: ASYNC109 - of the sockets
    """Return the object that a server answers.

    It follows no redirection, and no proxy of the environment: the token is for that server.

    :param fields: are sent as a JSON object; ``None`` only reads.
    :raises VerbError: when it refuses, fails, or does not answer in time.
    """
    connection, path = _connection(address, timeout)
    call = _Call(connection, path, fields, token, time.monotonic() + timeout)
    try:
        status, body = await run_sync(call, abandon_on_cancel=True)
    except TimeoutError:
        raise VerbError(FAILED, f"{_place(address)} did not answer within {timeout:g} s") from None
    except (OSError, HTTPException, UnicodeError) as error:
        said = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise VerbError(FAILED, f"{_place(address)} does not answer: {one_line(said)}") from error
    finally:
        call.end()
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise VerbError(FAILED, f"{_place(address)} has no API of an operator's page (status {status})")
    if status != _OK:
        said = one_line(str(data.get("error", f"status {status}")))
        raise VerbError(REFUSED if status in _NOT_ALLOWED else FAILED, said)
    return data


class _Call:
    """A request in a thread of its own."""

    def __init__(
        self,
        connection: HTTPConnection,
        path: str,
        fields: Mapping[str, Any] | None,
        token: str | None,
        ends: float,
    ) -> None:
        self._connection = connection
        self._path = path
        self._fields = fields
        self._token = token
        self._ends = ends

    def __call__(self) -> tuple[int, bytes]:
        """Return the status and the body of the answer."""
        headers = {"accept": "application/json"}
        if self._token is not None:
            headers["authorization"] = f"Bearer {self._token}"
        if self._fields is None:
            self._connection.request("GET", self._path, headers=headers)
        else:
            headers["content-type"] = "application/json"
            self._connection.request("POST", self._path, json.dumps(self._fields), headers)
        answer = self._connection.getresponse()
        return answer.status, self._body(answer)

    def _body(self, answer: HTTPResponse) -> bytes:
        body = b""
        while more := answer.read1(_AT_ONCE):
            body += more
            if len(body) > _LARGEST:
                raise OSError(f"its answer has more than {_LARGEST:,} bytes")
            if time.monotonic() > self._ends:
                raise TimeoutError
        return body

    def end(self) -> None:
        """Wake the thread if it still waits, and close the connection."""
        if (waiting := self._connection.sock) is not None:
            with suppress(OSError):
                waiting.shutdown(socket.SHUT_RDWR)
        self._connection.close()


def _connection(address: str, timeout: float) -> tuple[HTTPConnection, str]:
    try:
        url = urlsplit(address)
        host, port = url.hostname, url.port
    except ValueError as error:
        raise ConfigurationError("--url", str(error)) from None
    if url.scheme not in {"http", "https"} or not host or url.username is not None or not address.isascii():
        raise ConfigurationError("--url", "must be such as http://127.0.0.1:8765, without a name or password")
    if url.query or url.fragment or not address.isprintable():
        raise ConfigurationError("--url", "must be an address without ? and #")
    kind = HTTPSConnection if url.scheme == "https" else HTTPConnection
    return kind(host, port, timeout=timeout), url.path


def _place(address: str) -> str:
    url = urlsplit(address)
    return f"{url.scheme}://{url.netloc}"
