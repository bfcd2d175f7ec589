"""What a browser keeps and sends back, signed: the cookie of a login, and the tokens of forms."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import TYPE_CHECKING, Any, Final

from async_backfill.admin._access import Visitor

if TYPE_CHECKING:
    from collections.abc import Callable

    from async_backfill.admin._access import Access

LOGIN_SECONDS: Final = 12 * 3600
_LONGEST: Final = 1_000


class Seals:
    """Makes and checks cookies and form tokens; it keeps none of them.

    :param wall: seconds since the epoch.
    """

    def __init__(self, access: Access, *, wall: Callable[[], float] = time.time) -> None:
        self._access = access
        self._secret = access.secret or secrets.token_bytes(32)
        self._wall = wall

    def cookie(self, visitor: Visitor) -> str:
        """Return the cookie of a person who has given the right token."""
        known = self._access.token_of(visitor.name)
        assert known is not None  # noqa: S101 - a person that `Access.person` found
        ends = int(self._wall()) + LOGIN_SECONDS
        said = urlsafe_b64encode(json.dumps([visitor.name, ends]).encode()).decode()
        return f"{said}.{self._mac('login', said, known[0])}"

    def visitor(self, cookie: str) -> Visitor | None:
        """Return who has logged in with ``cookie``; ``None`` when it is not ours, or no longer holds."""
        said, dot, mac = cookie.rpartition(".")
        if not dot or len(cookie) > _LONGEST:
            return None
        try:
            name, ends = json.loads(urlsafe_b64decode(said.encode()))
        except (ValueError, TypeError, RecursionError):
            return None
        known = self._access.token_of(name) if isinstance(name, str) else None
        if known is None or not _same(self._mac("login", said, known[0]), mac):
            return None
        # Signed by us, so it is what `cookie` made.
        if ends <= self._wall():
            return None
        return Visitor(name=name, may_change=known[1], session=cookie)

    def form_token(self, visitor: Visitor | None) -> str:
        """Return what each form that is shown to ``visitor`` carries; ``None`` is who has not logged in."""
        who = visitor or Visitor(name="", may_change=False)
        return self._mac("form", who.name, who.session)

    def is_form_of(self, visitor: Visitor | None, token: str) -> bool:
        """Return whether a form with ``token`` was shown to ``visitor``."""
        return _same(self.form_token(visitor), token)

    def _mac(self, *parts: Any) -> str:
        return hmac.new(self._secret, json.dumps(parts).encode(), hashlib.sha256).hexdigest()


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())
