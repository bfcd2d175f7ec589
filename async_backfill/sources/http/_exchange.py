"""Send requests over a pool of connections with aiohttp; the only module that imports it.

It needs asyncio. No cookie goes from one key to another, `Body` unpacks the bodies, and this module decides
which redirects are followed and with which headers. One retry is aiohttp's own: it sends a GET once more, at
once, when a connection ends without an answer, as an idle one does that the server has just closed.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from anyio import CancelScope, Event
from yarl import URL

from async_backfill.sources.http._answers import (
    VALUE,
    Answer,
    AnswerError,
    HTTPSourceError,
    NoAnswerError,
    retry_after,
    status_name,
)
from async_backfill.sources.http._body import Body
from async_backfill.sources.http._headers import COMMON
from async_backfill.sources.http._redirects import REDIRECTS, keeps_origin, redirect_target
from async_backfill.sources.http._request_parts import lowered, usable

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from async_backfill.sources.http._batch import BatchRequest
    from async_backfill.sources.http._headers import OwnHeaders
    from async_backfill.sources.http._proxies import Proxies, Proxy
    from async_backfill.sources.http._redirects import Redirects

_DRAINED: Final = 1 << 16  # bytes of an unused answer that are read so that its connection can be reused
_LONGEST_REASON: Final = 300


class Exchange:
    """An HTTP client for one service, which follows redirects and limits the size of answers.

    It must be made while asyncio runs.

    :param url: any URL of the service; ``headers`` are sent to its scheme, host and port only, and no
        longer once a redirect has led elsewhere.
    :param max_body: the largest allowed body in bytes, packed and unpacked.
    :param redirects: where redirects may lead, never from https to http.
    :param max_redirects: the largest number of redirects of one request.
    :param proxies: the proxy of each request.
    :param connections: the largest number of open connections.
    """

    # aiohttp, because it never takes a stray answer for the answer to the next key: decision 43 in notes.md.

    def __init__(
        self,
        url: str,
        headers: OwnHeaders,
        *,
        max_body: int,
        redirects: Redirects,
        max_redirects: int,
        proxies: Proxies,
        connections: int,
        ssl_context: ssl.SSLContext | None,
    ) -> None:
        self._origin = URL(url, encoded=True).origin()
        self._headers = headers
        self._max_body = max_body
        self._redirects = redirects
        self._max_redirects = max_redirects
        self._proxies = proxies
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
        except aiohttp.ClientHttpProxyError as error:
            what = f"the proxy says HTTP {status_name(error.status)}"
        except aiohttp.ClientProxyConnectionError as error:
            what = f"no connection to the proxy {error.host}:{error.port}: {_reason(error)}"
        except aiohttp.ClientResponseError:
            what = "the answer is not HTTP"
        except (aiohttp.ClientError, OSError) as error:
            what = _reason(error)
        # Raised outside of except: aiohttp's errors hold the request, and so its secret headers.
        raise NoAnswerError(f"no answer from {shown}: {what}")

    async def _follow(self, asked: BatchRequest, shown: str) -> Answer:
        url, method, content = usable(asked, shown), asked.method, asked.content
        own = await self._headers.of_request(shown) if url.origin() == self._origin else COMMON
        headers = {**own, **lowered(asked.headers)}
        for _ in range(self._max_redirects + 1):
            async with self._session.request(
                method,
                url,
                data=content,
                allow_redirects=False,
                **_through(self._proxies.of(url), url, headers),
            ) as response:
                status = response.status
                location = response.headers.get("location") if status in REDIRECTS else None
                if location is None:
                    return await self._read(response, shown)
                await _drain(response)
            after = redirect_target(url, location, shown, redirects=self._redirects)
            if not keeps_origin(url, after):
                headers = COMMON | {k: v for k, v in headers.items() if k == "content-type"}
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
        return Answer(response.status, body, later, response.charset if body else None)

    async def _body(self, response: aiohttp.ClientResponse, shown: str) -> bytes:
        headers = response.headers
        body = Body(self._max_body, encoding=headers.get("content-encoding", ""), shown=shown)
        if response.content_length is not None:
            body.check_length(response.content_length)
        async for piece in response.content.iter_any():
            body.add(piece)
        is_delimited = response.content_length is not None or "transfer-encoding" in headers
        return body.whole(is_delimited=is_delimited)


def _through(proxy: Proxy | None, url: URL, headers: Mapping[str, str]) -> dict[str, Any]:
    """Return the arguments of a request to ``url`` with ``headers``, by way of ``proxy``."""
    if proxy is None:
        return {"headers": headers}
    # A tunnel is asked for with headers of its own, and no others reach the proxy; else it reads all of them.
    own = {} if proxy.authorization is None else {"proxy-authorization": proxy.authorization}
    if url.scheme == "https":
        return {"headers": headers, "proxy": proxy.url, "proxy_headers": own}
    return {"headers": {**headers, **own}, "proxy": proxy.url}


async def _drain(response: aiohttp.ClientResponse) -> None:
    """Read an unused answer to its end, so that its connection can be reused, unless it is long."""
    came = 0
    async for piece in response.content.iter_any():
        came += len(piece)
        if came > _DRAINED:
            return


def _reason(error: BaseException) -> str:
    """Return the text of the first cause of ``error``, usually an error of the operating system."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    said = " ".join(str(error)[:_LONGEST_REASON].split())
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
