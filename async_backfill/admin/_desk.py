"""What all pages of one application share: templates, who may pass, and what was seen last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import HTMLResponse

from async_backfill.admin._done import DONE
from async_backfill.admin._live import Looks, Streams

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from async_backfill.admin._access import Visitor
    from async_backfill.admin._gate import Gate
    from async_backfill.admin._live import Rest, Shown
    from async_backfill.admin._pages import Pages


class Desk:
    """Shows templates to visitors, and follows what they show."""

    def __init__(self, gate: Gate, pages: Pages, *, has_login: bool) -> None:
        self.gate = gate
        self.pages = pages
        self.looks = Looks()
        self.streams = Streams()
        self._has_login = has_login

    def render(self, request: Request, visitor: Visitor, template: str, /, **facts: Any) -> str:
        """Return a template with ``facts``, and what each template needs of the visitor."""
        base = request.scope.get("root_path", "")
        given = {"base": base, "visitor": visitor, "token": self.gate.token(visitor)}
        return self.pages.render(template, **{**facts, **given})

    def show(self, request: Request, visitor: Visitor, template: str, /, **facts: Any) -> Response:
        """Return a page."""
        done = DONE.get(request.query_params.get("done", ""))
        return HTMLResponse(
            self.render(request, visitor, template, done=done, has_login=self._has_login, **facts)
        )

    def stream(self, look: Callable[[], Awaitable[Shown]], rest: Rest) -> Response:
        """Return the stream of a page."""
        return self.streams.stream(look, rest)  # type: ignore[return-value] # an ASGI application
