"""Send requests over a pool of connections with aiohttp; the only module that imports it.

It needs asyncio. No cookie goes from one key to another, `Body` unpacks the bodies, and this module decides
which redirects are followed and with which headers. One retry is aiohttp's own: it sends a GET once more, at
once, when a connection ends without an answer, as an idle one does that the server has just closed.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from anyio import CancelScope, Event
from yarl import URL

from async_backfill.errors import ConfigurationError
from async_backfill.sources.http._answers import (
    VALUE,
    Answer,
    AnswerError,
    HTTPSourceError,
    NoAnswerError,
    retry_after,
)
from async_backfill.sources.http._body import Body
from async_backfill.sources.http._template import ascii_url

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from async_backfill.sources.http._batch import BatchRequest

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_COMMON: Final = MappingProxyType(
    {"accept": "application/json", "accept-encoding": "gzip", "user-agent": "async-backfill"}
)
_OURS: Final = frozenset({"accept-encoding", "connection", "content-length", "host", "transfer-encoding"})
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HOST: Final = re.compile(r"[0-9A-Za-z._:-]{1,255}")
_FIELD: Final = re.compile(r"[\x20-\x7e\t]*")
_LONGEST_URL: Final = 1 << 16
_DRAINED: Final = 1 << 16  # bytes of an unused answer that are read so that its connection can be reused


class Exchange:
    """An HTTP client for one service, which follows redirects and limits the size of answers.

    It must be made while asyncio runs.

    :param url: any URL of the service; ``headers`` are sent to its scheme, host and port only, and no
        longer once a redirect has led elsewhere.
    :param max_body: the largest allowed body in bytes, packed and unpacked.
    :param max_redirects: the largest number of redirects of one request; they lead to http and https only,
        and never from https to http.
    :param connections: the largest number of open connections.
    """

    # aiohttp, because it never takes a stray answer for the answer to the next key: decision 43 in notes.md.

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
        self._origin = URL(url, encoded=True).origin()
        self._headers = _COMMON | _lowered(headers)
        self._max_body = max_body
        self._max_redirects = max_redirects
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections, ssl=ssl_context or True),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),  # cancel scopes set the limits
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )
        self._under_way: set[CancelScope] = set()
        self._is_closed = False
        self._all_ended = Event()

    async def aclose(self) -> None:
        """Cancel the requests in progress, and close all connections."""
        self._is_closed = True
        with CancelScope(shield=True):
            for scope in self._under_way:
                scope.cancel()
            while self._under_way:
                await self._all_ended.wait()
            await self._session.close()

    async def ask(self, request: BatchRequest, shown: str) -> Answer:
        """Return the answer to ``request``, after its redirects.

        :param shown: the URL as errors show it.
        :raises NoAnswerError: when no complete answer arrived.
        :raises AnswerError: when the answer is too long, has an unknown encoding, or is a refused redirect.
        :raises HTTPSourceError: when this client is closed, also during the request.
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
        try:
            return await self._follow(request, shown)
        except aiohttp.ClientResponseError:
            what = "the answer is not HTTP"
        except (aiohttp.ClientError, OSError) as error:
            what = _reason(error)
        # Raised outside of except: aiohttp's errors hold the request, and so its secret headers.
        raise NoAnswerError(f"no answer from {shown}: {what}")

    async def _follow(self, asked: BatchRequest, shown: str) -> Answer:
        url, method, content = _usable(asked, shown), asked.method, asked.content
        own = _lowered(asked.headers)
        headers = (self._headers if url.origin() == self._origin else _COMMON) | own
        for _ in range(self._max_redirects + 1):
            async with self._session.request(
                method, url, headers=headers, data=content, allow_redirects=False
            ) as response:
                status = response.status
                location = response.headers.get("location") if status in _REDIRECTS else None
                if location is None:
                    return await self._read(response, shown)
                await _drain(response)
            after = redirect_target(url, location, shown)
            if after.origin() != url.origin():
                headers = _COMMON | {k: v for k, v in headers.items() if k == "content-type"}
            if status == 303 or (status in (301, 302) and method == "POST"):
                method, content = "GET", None
                headers = {name: value for name, value in headers.items() if name != "content-type"}
            url = after
        raise AnswerError(f"{shown} redirects more than max_redirects={self._max_redirects} times")

    async def _read(self, response: aiohttp.ClientResponse, shown: str) -> Answer:
        headers, body = response.headers, b""
        if response.status in VALUE:
            body = await self._body(response, shown)
        else:
            await _drain(response)
        later = retry_after(headers.get("retry-after"), now=datetime.now(UTC), date=headers.get("date"))
        return Answer(response.status, body, later)

    async def _body(self, response: aiohttp.ClientResponse, shown: str) -> bytes:
        headers = response.headers
        body = Body(self._max_body, encoding=headers.get("content-encoding", ""), shown=shown)
        if response.content_length is not None:
            body.check_length(response.content_length)
        async for piece in response.content.iter_any():
            body.add(piece)
        is_delimited = response.content_length is not None or "transfer-encoding" in headers
        return body.whole(is_delimited=is_delimited)


async def _drain(response: aiohttp.ClientResponse) -> None:
    """Read an unused answer to its end, so that its connection can be reused, unless it is long."""
    came = 0
    async for piece in response.content.iter_any():
        came += len(piece)
        if came > _DRAINED:
            return


def check_url(setting: str, url: str) -> None:
    """Check that aiohttp can send a request to ``url``.

    :raises ConfigurationError: when it cannot; the text shows nothing of the URL.
    """
    if _parsed(url) is None:
        raise ConfigurationError(setting, "is not a URL that a request can be sent to")


def check_headers(headers: Mapping[Any, Any]) -> None:
    """Check that ``headers`` can be sent, and are none that the source sets itself.

    :raises ConfigurationError: when they cannot; the text shows the name, never the value.
    """
    for name, value in headers.items():
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            raise ConfigurationError("headers", f"must have names of headers, not {name!r}")
        if name.lower() in _OURS:
            raise ConfigurationError("headers", f"must not have {name}, which the source sets itself")
        if not isinstance(value, str) or not _FIELD.fullmatch(value):
            raise ConfigurationError("headers", f"the value of {name} must be printable ASCII text")


def redirect_target(url: URL, location: str, shown: str) -> URL:
    """Return the absolute URL of ``location``, a redirect from ``url``.

    :raises AnswerError: when the redirect must not be followed.
    """
    try:
        target = _parsed(str(url.join(URL(location))))
    except ValueError:
        target = None
    if target is None:
        raise AnswerError(f"{shown} redirects to a URL that is neither http nor https")
    if url.scheme == "https" and target.scheme == "http":
        raise AnswerError(f"{shown} redirects from https to http")
    return target.with_user(None).with_fragment(None)


def _usable(asked: BatchRequest, shown: str) -> URL:
    """Return the checked URL of a request, which a function of the user may have made."""
    url = _parsed(asked.url)
    try:
        check_headers(asked.headers)
    except ConfigurationError as refused:
        raise AnswerError(f"no request to {shown} could be made: {refused}") from None
    if url is None:
        raise AnswerError(f"no request to {shown} could be made: it is not an http or https URL")
    return url


def _parsed(text: str) -> URL | None:
    """Return ``text`` as an http or https URL with a valid host and port, or ``None``."""
    try:
        url = URL(ascii_url(text), encoded=True)
        has_host = bool(_HOST.fullmatch(url.raw_host or "")) and 0 < (url.port or 0) < 1 << 16
    except ValueError:
        return None
    return url if url.scheme in ("http", "https") and has_host and len(text) < _LONGEST_URL else None


def _lowered(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _reason(error: BaseException) -> str:
    """Return the text of the first cause of ``error``, usually an error of the operating system."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
