"""What a page says instead of what was asked for: a status and one line, never a traceback."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from starlette.exceptions import HTTPException

from async_backfill._common.error_text import one_line
from async_backfill.errors import (
    AsyncBackfillError,
    CacheClosedError,
    ConfigurationError,
    MissingExtraError,
    ScenarioError,
)
from async_backfill.jobs import JobRefusedError, JobStateError

if TYPE_CHECKING:
    from async_backfill._common.line_a_second import LineASecond

_OURS: Final = "Something went wrong here. The log of the server says what; nothing is shown of it."
_WORDS: Final = MappingProxyType(
    {
        404: "There is no such page.",
        405: "That is not done in this way: go back and use the form.",
    }
)
_logger: Final = logging.getLogger("async_backfill.admin")


class RefusedError(Exception):
    """A request is refused; ``said`` is shown to who sent it."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status
        self.said = said


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is shown instead of a page."""

    status: int
    said: str


def problem_of(  # noqa: PLR0911 - one for each kind
    error: Exception, lines: LineASecond, *, is_form: bool
) -> Problem:
    """Return what is shown for ``error``; what is our fault is logged with its traceback by ``lines``.

    :param is_form: whether a form was sent.
    """
    match error:
        case RefusedError():
            return Problem(status=error.status, said=error.said)
        case HTTPException():
            return Problem(status=error.status_code, said=_WORDS.get(error.status_code, str(error.detail)))
        case JobRefusedError():
            # To look at a job is refused only when there is none of that number.
            return Problem(status=409 if is_form else 404, said=one_line(str(error)))
        case ConfigurationError():
            return Problem(status=400, said=one_line(f"{error.setting}: {error.problem}"))
        case ScenarioError() | MissingExtraError():
            return Problem(status=400, said=one_line(str(error)))
        case CacheClosedError():
            return Problem(status=409, said=one_line(str(error)))
        case JobStateError():
            return Problem(status=503, said=one_line(str(error)))
        case AsyncBackfillError():
            return Problem(status=502, said=one_line(str(error)))
    lines.warning("the operator's page failed", error=error)
    return Problem(status=500, said=_OURS)


def logger() -> logging.Logger:
    """Return the logger of the operator's page."""
    return _logger
