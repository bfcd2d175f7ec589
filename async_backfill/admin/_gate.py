"""Who may pass: each page asks who looks, each form also where it comes from and whether it may change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from starlette.responses import HTMLResponse, RedirectResponse

from async_backfill.admin._access import Visitor, is_loopback, is_name, user_of_this_process
from async_backfill.admin._forms import Form, read_form
from async_backfill.admin._refusals import RefusedError, logger
from async_backfill.admin._seals import LOGIN_SECONDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from async_backfill._common.line_a_second import LineASecond
    from async_backfill.admin._access import Access
    from async_backfill.admin._pages import Pages
    from async_backfill.admin._seals import Seals

    Page: TypeAlias = Callable[[Request, Visitor], Awaitable[Response]]
    Change: TypeAlias = Callable[[Request, Visitor, Form], Awaitable[Response]]
    Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]

_COOKIE: Final = "async_backfill_operator"
_FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
_NOT_LOCAL: Final = (
    "Without tokens this page answers this machine alone, and this request comes from elsewhere, or through "
    "a proxy. Whoever runs it can give tokens, or name the proxy: see `serve --help`."
)
_FOREIGN: Final = "This form was not sent from this page: go back, reload the page, and send it from there."
_NO_LOGIN: Final = "The proxy in front of this page does not say who you are."
_UNKNOWN: Final = "Say who you are: a token is needed, as `Authorization: Bearer TOKEN`."
_OF_BROWSERS: Final = ("origin", "sec-fetch-site")
_BROWSER: Final = "A browser sends this: without a token the API takes changes from programs only."
_READS_ONLY: Final = "You may look, but not change anything here."


class Gate:
    """Lets the requests through to the pages that may see them."""

    def __init__(self, access: Access, seals: Seals, pages: Pages, lines: LineASecond) -> None:
        self._access = access
        self._seals = seals
        self._pages = pages
        self._lines = lines
        self._local_user = access.local_user or user_of_this_process()

    def page(self, page: Page) -> Endpoint:
        """Show ``page`` to those who may look."""

        async def endpoint(request: Request) -> Response:
            visitor = self._visitor(request)
            return self._login_form(request, 401) if visitor is None else await page(request, visitor)

        return endpoint

    def change(self, change: Change, *, changes: bool = True) -> Endpoint:
        """Let those send a form who may change something, or just look if it ``changes`` nothing."""

        async def endpoint(request: Request) -> Response:
            visitor = self._visitor(request)
            form = await self._form(request, visitor)
            if visitor is None:
                return self._login_form(request, 401)
            if changes:
                self.require_change(visitor)
            return await change(request, visitor, form)

        return endpoint

    def require_change(self, visitor: Visitor) -> None:
        """Refuse who may only look."""
        if not visitor.may_change:
            raise RefusedError(403, _READS_ONLY)

    def program(self, request: Request) -> Visitor:
        """Return who asks without a page: by a token in a header, where there are tokens.

        Else as for a page; but a browser could be made to ask by a foreign site, and so may change nothing.

        :raises RefusedError: for all others.
        """
        if not self._access.has_tokens:
            if request.method != "GET" and any(name in request.headers for name in _OF_BROWSERS):
                raise RefusedError(403, _BROWSER)
            visitor = self._visitor(request)
            assert visitor is not None  # noqa: S101 - only where there are tokens
            return visitor
        given = request.headers.getlist("authorization")
        kind, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        person = self._access.person(token.strip()) if kind.lower() == "bearer" else None
        if person is None:
            if given:
                self._lines.warning("a wrong token was given by %s", _peer(request))
            raise RefusedError(401, _UNKNOWN)
        return person

    async def log_in(self, request: Request) -> Response:
        """Take a token from the form of `_login_form`, and give a cookie for it."""
        form = await self._form(request, None)
        person = self._access.person(form.text("token") or "")
        if person is None:
            self._lines.warning("a wrong token was given by %s", _peer(request))
            return self._login_form(request, 403)
        logger().info("%s has logged in", person.name)
        answer = self._go_on(request)
        answer.set_cookie(
            _COOKIE,
            self._seals.cookie(person),
            max_age=LOGIN_SECONDS,
            path=request.scope.get("root_path") or "/",
            secure=self._is_https(request),
            httponly=True,
            samesite="strict",
        )
        return answer

    async def to_login(self, request: Request) -> Response:
        """Lead who opens the address of the form to the first page, which shows the form."""
        return self._go_on(request)

    async def log_out(self, request: Request) -> Response:
        """Let the browser forget its cookie."""
        await self._form(request, self._visitor(request))
        answer = self._go_on(request)
        answer.delete_cookie(_COOKIE, path=request.scope.get("root_path") or "/")
        return answer

    def token(self, visitor: Visitor | None) -> str:
        """Return what each form carries that is shown to ``visitor``."""
        return self._seals.form_token(visitor)

    async def _form(self, request: Request, visitor: Visitor | None) -> Form:
        """Return the form of a request, if it was sent from a page that was shown to ``visitor``."""
        origins, site = request.headers.getlist("origin"), request.headers.get("sec-fetch-site")
        if site not in {None, "same-origin"} or len(origins) != 1:
            raise RefusedError(403, _FOREIGN)
        if origins[0].partition("://")[2].lower() != request.headers["host"].lower():
            raise RefusedError(403, _FOREIGN)
        form = await read_form(request)
        if not self._seals.is_form_of(visitor, form.text("form_token") or ""):
            raise RefusedError(403, _FOREIGN)
        return form

    def _visitor(self, request: Request) -> Visitor | None:
        """Return who sends a request; ``None`` when they have not logged in yet.

        :raises RefusedError: when they cannot log in.
        """
        access = self._access
        if access.who is not None:
            found = access.who(request.scope)
            if found is None:
                raise RefusedError(403, "You may not see this page: log in to the application first.")
            return found
        if access.has_tokens:
            return self._seals.visitor(request.cookies.get(_COOKIE, ""))
        if access.user_header is not None:
            return self._named_by_proxy(request, access.user_header)
        if not is_loopback(_peer(request)) or any(name in request.headers for name in _FORWARDED):
            raise RefusedError(403, _NOT_LOCAL)
        return access.named(self._local_user)

    def _named_by_proxy(self, request: Request, header: str) -> Visitor:
        if not self._access.trusts(_peer(request)):
            raise RefusedError(403, "This page is only to be reached through its proxy.")
        names = request.headers.getlist(header)
        # Two of them: one may be of whoever sent the request to the proxy.
        name = names[0].encode("latin-1").decode(errors="replace").strip() if len(names) == 1 else ""
        if not is_name(name):
            raise RefusedError(403, _NO_LOGIN)
        return self._access.named(name)

    def _is_https(self, request: Request) -> bool:
        if self._access.trusts(_peer(request)) and request.headers.get("x-forwarded-proto") == "https":
            return True
        return request.url.scheme == "https"

    def _login_form(self, request: Request, status: int) -> Response:
        base = request.scope.get("root_path", "")
        said = self._pages.render("login", base=base, token=self.token(None), is_wrong=status == 403)
        return HTMLResponse(said, status_code=status)

    def _go_on(self, request: Request) -> Response:
        return RedirectResponse(f"{request.scope.get('root_path', '')}/", status_code=303)


def _peer(request: Request) -> str | None:
    return request.client.host if request.client is not None else None
