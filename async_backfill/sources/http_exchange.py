"""A request and its answer, over a pool of connections, with httpx2: the one module that imports it.

Requests go through its transport (`httpx2.AsyncHTTPTransport`), below the client: so no cookie goes from
one key to another, no URL is logged, and where a redirect may lead, and with what, is decided here.
"""

from __future__ import annotations

import re
from contextlib import aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

import httpx2
from anyio import CancelScope, Event

from async_backfill.errors import ConfigurationError
from async_backfill.sources.http_answers import (
    VALUE,
    Answer,
    AnswerError,
    HTTPSourceError,
    NoAnswerError,
    retry_after,
)

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from async_backfill.sources.http_batch import BatchRequest

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_ENCODINGS: Final = frozenset({"", "identity", "gzip", "deflate"})
_COMMON: Final = {"accept": "application/json", "accept-encoding": "gzip", "user-agent": "async-backfill"}
_OURS: Final = frozenset({"accept-encoding", "connection", "content-length", "host", "transfer-encoding"})
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD: Final = re.compile(r"[\x20-\x7e\t]*")
_DRAINED: Final = 1 << 16  # bytes that are read of an answer nobody wants, so that the connection can be kept
_FIRST_OF_NUMBERS: Final = tuple(b"-0123456789"[at : at + 1] for at in range(11))


class Origin(NamedTuple):
    """Whom headers with secrets are for (RFC 6454)."""

    scheme: str
    host: str
    port: int


class Exchange:
    """Sends requests, follows their redirects, and reads as much of an answer as is allowed.

    :param url: any URL of the service; ``headers`` are sent to its scheme, host and port only, and no
        more after a redirect has left them.
    :param max_body: bytes of a body at the most, before and after it is unpacked.
    :param max_redirects: redirects that one request follows at the most, never to anything but http and
        https, nor from https to http.
    :param connections: open at once at the most.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        max_body: int,
        max_redirects: int,
        connections: int,
        ssl_context: ssl.SSLContext | None,
    ) -> None:
        self._origin = _origin(httpx2.URL(url))
        self._headers = _COMMON | {name.lower(): value for name, value in headers.items()}
        self._max_body = max_body
        self._max_redirects = max_redirects
        self._transport = httpx2.AsyncHTTPTransport(
            verify=ssl_context or True,
            limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=connections),
        )
        self._under_way: set[CancelScope] = set()
        self._is_closed = False
        self._all_ended = Event()

    async def aclose(self) -> None:
        """End the requests that are under way, and close all connections."""
        self._is_closed = True
        with CancelScope(shield=True):
            for scope in self._under_way:
                scope.cancel()
            while self._under_way:
                await self._all_ended.wait()
            await self._transport.aclose()

    async def ask(self, request: BatchRequest, shown: str) -> Answer:
        """Return the answer to ``request``, after its redirects.

        :param shown: the URL as errors show it.
        :raises NoAnswerError: when no whole answer came.
        :raises AnswerError: when it is too long, oddly packed, or a redirect that is not followed.
        :raises HTTPSourceError: when this is closed, or was meanwhile.
        """
        with CancelScope() as scope:
            self._under_way.add(scope)
            try:
                if not self._is_closed:
                    return await self._answer(request, shown)
            finally:
                self._under_way.remove(scope)
                if self._is_closed and not self._under_way:
                    self._all_ended.set()
        raise HTTPSourceError(f"{shown}: the source was closed")

    async def _answer(self, request: BatchRequest, shown: str) -> Answer:
        problem: AnswerError | NoAnswerError
        try:
            return await self._follow(request, shown)
        except (httpx2.LocalProtocolError, httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
            problem = AnswerError(f"no request to {shown} could be made: {type(error).__name__}")
        except httpx2.TransportError as error:
            problem = NoAnswerError(f"no answer from {shown}: {_reason(error)}")
        except httpx2.DecodingError as error:
            problem = AnswerError(f"the answer of {shown} is damaged: {error}")
        # Raised here, because httpx2's errors know the request and so its headers.
        raise problem

    async def _follow(self, asked: BatchRequest, shown: str) -> Answer:
        url, method, content = httpx2.URL(asked.url), asked.method, asked.content
        is_ours = _origin(url) == self._origin
        headers = (self._headers if is_ours else _COMMON) | {k.lower(): v for k, v in asked.headers.items()}
        for _ in range(self._max_redirects + 1):
            request = httpx2.Request(method, url, headers=headers, content=content)
            response = await self._transport.handle_async_request(request)
            try:
                location = response.headers.get("location") if response.status_code in _REDIRECTS else None
                if location is None:
                    return await self._read(response, shown)
                await self._drain(response)
            finally:
                with CancelScope(shield=True):
                    await response.aclose()
            after = _target(url, location, shown)
            if _origin(after) != _origin(url):
                headers = _COMMON | {k: v for k, v in headers.items() if k == "content-type"}
            if response.status_code == 303 or (response.status_code in (301, 302) and method == "POST"):
                method, content = "GET", None
                headers = {name: value for name, value in headers.items() if name != "content-type"}
            url = after
        raise AnswerError(f"{shown} redirects more than max_redirects={self._max_redirects} times")

    async def _read(self, response: httpx2.Response, shown: str) -> Answer:
        headers, body = response.headers, b""
        if response.status_code in VALUE:
            body = await self._body(response, shown)
        else:
            await self._drain(response)
        later = retry_after(headers.get("retry-after"), now=datetime.now(UTC), date=headers.get("date"))
        return Answer(response.status_code, body, later)

    async def _body(self, response: httpx2.Response, shown: str) -> bytes:
        headers, most = response.headers, self._max_body
        encoding = headers.get("content-encoding", "").strip().lower()
        if encoding not in _ENCODINGS:
            raise AnswerError(f"{shown} answers packed with {encoding[:40]!r}, expected gzip")
        too_long = f"{shown} answers with more than max_body={most} bytes"
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > most:
            raise AnswerError(too_long)
        body = bytearray()
        async with aclosing(response.aiter_bytes()) as pieces:
            async for piece in pieces:
                body += piece
                if len(body) > most or response.num_bytes_downloaded > most:
                    raise AnswerError(too_long)
        if not length and "transfer-encoding" not in headers and body.lstrip()[:1] in _FIRST_OF_NUMBERS:
            # Such a body ends with the connection, and of all JSON only a number is whole when it is cut.
            raise NoAnswerError(f"{shown} answers with a number that may be cut off: it has no length")
        return bytes(body)

    async def _drain(self, response: httpx2.Response) -> None:
        async with aclosing(response.aiter_raw()) as pieces:
            async for _ in pieces:
                if response.num_bytes_downloaded > _DRAINED:
                    return


def check_url(setting: str, url: str) -> None:
    """Refuse a URL that httpx2 cannot make a request of.

    :raises ConfigurationError: shows nothing of it.
    """
    try:
        is_usable = bool(httpx2.URL(url).host)
    except httpx2.InvalidURL:
        is_usable = False
    if not is_usable:
        raise ConfigurationError(setting, "no URL that a request could be made of")


def check_headers(headers: Mapping[str, str]) -> None:
    """Refuse what cannot be sent as headers, or is not the user's to say.

    :raises ConfigurationError: shows the name, never the value.
    """
    for name, value in headers.items():
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            raise ConfigurationError("headers", f"{name!r} is not the name of a header")
        if name.lower() in _OURS:
            raise ConfigurationError("headers", f"{name} is set by the source itself")
        if not isinstance(value, str) or not _FIELD.fullmatch(value):
            raise ConfigurationError("headers", f"the value of {name} is not printable ASCII text")


def _origin(url: httpx2.URL) -> Origin:
    return Origin(url.scheme, url.host, url.port or {"https": 443}.get(url.scheme, 80))


def _target(url: httpx2.URL, location: str, shown: str) -> httpx2.URL:
    """Return where ``location`` leads from ``url``, if that may be followed."""
    target = url.join(location).copy_with(username=None, password=None, fragment=None)
    if target.scheme not in ("http", "https") or not target.host:
        raise AnswerError(f"{shown} redirects to something that is neither http nor https")
    if url.scheme == "https" and target.scheme == "http":
        raise AnswerError(f"{shown} redirects from https to http")
    return target


def _reason(error: BaseException) -> str:
    """Return what the first cause of ``error`` says: that of the operating system, if there is one."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
