"""Which requests of a log count, by method and status."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from async_backfill.errors import ConfigurationError, ScenarioError

if TYPE_CHECKING:
    from collections.abc import Sequence

_METHOD: Final = re.compile(r"[A-Za-z][A-Za-z-]{0,30}")
_STATUS: Final = re.compile(r"[1-5](?:[0-9]{2}|xx)")


class Filters:
    """A filter of requests: those with one of ``methods``, and one of ``statuses``; an empty list allows all.

    :param statuses: such as ``"200"``, or ``"2xx"`` for all that begin with 2.
    :raises ConfigurationError: for what is no method or status.
    """

    def __init__(self, methods: Sequence[str], statuses: Sequence[str]) -> None:
        for method in methods:
            if not _METHOD.fullmatch(method):
                raise ConfigurationError("method", f"must be a method such as GET, not {method!r}")
        for status in statuses:
            if not _STATUS.fullmatch(status.lower()):
                raise ConfigurationError("status", f"must be a status such as 200 or 2xx, not {status!r}")
        self._methods = frozenset(method.upper() for method in methods)
        self._statuses = tuple(status.lower().removesuffix("xx") for status in statuses)

    @classmethod
    def given(cls, methods: Sequence[str], statuses: Sequence[str]) -> Filters | None:
        """Return a filter, or ``None`` when all requests are allowed."""
        return cls(methods, statuses) if methods or statuses else None

    def allows(self, method: str, status: str) -> bool:
        """Return whether a request with ``method`` and ``status`` counts."""
        if self._methods and method.upper() not in self._methods:
            return False
        return not self._statuses or status.startswith(self._statuses)


def refuse_filters(name: object, filters: Filters | None) -> None:
    """Refuse ``filters`` for a file that is no log of requests.

    :param name: the name of the file, for the error message.
    :raises ScenarioError: when there are any.
    """
    if filters is not None:
        raise ScenarioError(f"{name}: is no log of requests, so --method and --status say nothing of it")
