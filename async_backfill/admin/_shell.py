"""What surrounds each answer: its headers, the host that was asked for, and plain pages for errors."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse

from async_backfill._common.line_a_second import LineASecond
from async_backfill.admin._api_gate import API, api_answer
from async_backfill.admin._refusals import RefusedError, logger, problem_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from async_backfill.admin._access import Access
    from async_backfill.admin._pages import Pages
    from async_backfill.admin._refusals import Problem

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS: Final = (
    ("content-security-policy", _POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    # Not "no-referrer": by that a browser would not say from where a form comes.
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
)
_LONGEST_PATH: Final = 1_000
_OTHER_HOST: Final = (
    "This page is not served under that name. Whoever runs it can allow the name: serve --allow-host NAME, "
    "or Access(hosts=...)."
)


class Shell:
    """Answers in plain HTML whatever happens inside of it; no error leaves it. An ASGI application."""

    def __init__(
        self,
        inside: ASGIApp,
        access: Access,
        pages: Pages,
        running: Callable[[], AbstractAsyncContextManager[None]],
    ) -> None:
        self._inside = inside
        self._running = running
        self._access = access
        self._pages = pages
        self._lines = LineASecond(logger(), time.monotonic)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live_on(receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        began = False

        async def answer(message: Message) -> None:
            nonlocal began
            if message["type"] == "http.response.start":
                began = True
                headers = MutableHeaders(raw=list(message["headers"]))
                for name, value in _HEADERS:
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
                message = {**message, "headers": headers.raw}
            await send(message)

        # What an application around this one does about errors is not for those of this one.
        inner = {name: value for name, value in scope.items() if name != "starlette.exception_handlers"}
        inner["app"] = self
        try:
            self._check(Headers(scope=scope), scope)
            await self._inside(inner, receive, answer)
        except Exception as error:  # noqa: BLE001 - each becomes a page without a traceback
            problem = problem_of(error, self._lines, is_form=scope["method"] == "POST")
            if not began:
                await self._told(problem, scope)(inner, receive, answer)

    def _told(self, problem: Problem, scope: Scope) -> Response:
        base: str = scope.get("root_path", "")
        if scope["path"].removeprefix(base).startswith(API):
            return api_answer({"error": problem.said}, problem.status)
        return HTMLResponse(self._pages.render("problem", problem=problem, base=base), problem.status)

    def _check(self, headers: Headers, scope: Scope) -> None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._access.serves(hosts[0]):
            raise RefusedError(421, _OTHER_HOST)
        is_foreign = headers.get("sec-fetch-site") in {"cross-site", "same-site"}
        if is_foreign and headers.get("sec-fetch-mode") != "navigate":
            raise RefusedError(403, "This page is no part of another one: open it by itself.")
        if len(scope["path"]) > _LONGEST_PATH:
            raise RefusedError(414, "There is no page with such a long address.")

    async def _live_on(self, receive: Receive, send: Send) -> None:
        """Run what goes on beside requests, from when the server begins until it ends."""
        await receive()
        async with self._running():
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})
