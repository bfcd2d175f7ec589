"""A request and its answer, over a pool of connections, with httpx2: the one module that imports it.

Requests go through its transport (`httpx2.AsyncHTTPTransport`), below the client: so no cookie goes from
one key to another, no URL is logged, and where a redirect may lead, and with what, is decided here.
"""

from __future__ import annotations

import re
from contextlib import asynccontextmanager, suppress
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
from async_backfill.sources.http_body import Body

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Mapping

    from async_backfill.sources.http_batch import BatchRequest

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_COMMON: Final = {"accept": "application/json", "accept-encoding": "gzip", "user-agent": "async-backfill"}
_OURS: Final = frozenset({"accept-encoding", "connection", "content-length", "host", "transfer-encoding"})
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HOST: Final = re.compile(rb"[0-9A-Za-z._:\[\]-]{1,255}")
_FIELD: Final = re.compile(r"[\x20-\x7e\t]*")
_DRAINED: Final = 1 << 16  # bytes that are read of an answer nobody wants, so that the connection can be kept


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
                await _drain(response)
            finally:
                with CancelScope(shield=True):
                    await response.aclose()
            after = redirect_target(url, location, shown)
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
            await _drain(response)
        later = retry_after(headers.get("retry-after"), now=datetime.now(UTC), date=headers.get("date"))
        return Answer(response.status_code, body, later)

    async def _body(self, response: httpx2.Response, shown: str) -> bytes:
        headers = response.headers
        body = Body(self._max_body, encoding=headers.get("content-encoding", ""), shown=shown)
        length = headers.get("content-length")
        if length is not None:
            body.check_length(int(length))  # a number, or h11 had refused the answer
        async with _pieces(response) as pieces:
            async for piece in pieces:
                body.add(piece)
        return body.whole(is_delimited=length is not None or "transfer-encoding" in headers)


async def _drain(response: httpx2.Response) -> None:
    """Read an answer that nobody wants, so that its connection can be kept, unless it is a long one."""
    came = 0
    async with _pieces(response) as pieces:
        async for piece in pieces:
            came += len(piece)
            if came > _DRAINED:
                return


@asynccontextmanager
async def _pieces(response: httpx2.Response) -> AsyncIterator[AsyncIterator[bytes]]:
    """Yield the pieces of a body as they come; who has enough of them may leave.

    The rest is then cancelled rather than left: it is read by generators within generators of httpx2, of
    which only the outermost would be closed.
    """
    pieces = response.aiter_raw()
    try:
        yield pieces
    finally:
        with suppress(httpx2.TransportError), CancelScope(shield=True) as scope:
            scope.cancel()
            async for _ in pieces:
                pass


def check_url(setting: str, url: str) -> None:
    """Refuse a URL that httpx2 cannot make a request of.

    :raises ConfigurationError: shows nothing of it.
    """
    try:
        is_usable = _has_host(httpx2.URL(url))
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


def redirect_target(url: httpx2.URL, location: str, shown: str) -> httpx2.URL:
    """Return where ``location`` leads from ``url``, if that may be followed."""
    target = url.join(location).copy_with(username=None, password=None, fragment=None)
    if target.scheme not in ("http", "https") or not _has_host(target):
        raise AnswerError(f"{shown} redirects to something that is neither http nor https")
    if url.scheme == "https" and target.scheme == "http":
        raise AnswerError(f"{shown} redirects from https to http")
    return target


def _has_host(url: httpx2.URL) -> bool:
    """Return whether there may be such a host and port: httpx2 takes what it does not know for a name."""
    return bool(_HOST.fullmatch(url.raw_host)) and (url.port is None or 0 < url.port < 1 << 16)


def _reason(error: BaseException) -> str:
    """Return what the first cause of ``error`` says: that of the operating system, if there is one."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
