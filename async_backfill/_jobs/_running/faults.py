"""What kind of trouble an error is: one that cannot get better, a timeout, or one to wait for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

_DEEPEST: Final = 10
# PostgreSQL's appendix A: wrong password, no such database, wrong names, rights and types, bad values.
_HOPELESS_STATES: Final = ("28", "3D", "3F", "42", "22")
_HOPELESS_REPLIES: Final = frozenset({"WRONGPASS", "NOAUTH", "NOPERM", "WRONGTYPE"})
_CANCELLED: Final = "57014"  # by statement_timeout


def is_hopeless(error: BaseException) -> bool:
    """Return whether it is sure that the same call fails again: a wrong password, a missing column."""
    return any(
        isinstance(cause, ConfigurationError)
        or (_text(cause, "sqlstate") or "").startswith(_HOPELESS_STATES)
        or _text(cause, "code") in _HOPELESS_REPLIES
        for cause in _causes(error)
    )


def is_timeout(error: BaseException) -> bool:
    """Return whether a call took too long, by our clock or by that of the database."""
    return any(
        isinstance(cause, TimeoutError) or _text(cause, "sqlstate") == _CANCELLED for cause in _causes(error)
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield ``error`` and what it was raised from; databases' wrappers keep the driver's as ``orig``."""
    seen: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting and len(seen) < _DEEPEST:
        cause = waiting.pop(0)
        if isinstance(cause, BaseException) and not any(cause is other for other in seen):
            seen.append(cause)
            yield cause
            waiting += [cause.__cause__, getattr(cause, "orig", None)]


def _text(error: BaseException, name: str) -> str | None:
    found = getattr(error, name, None)
    return found if isinstance(found, str) else None
