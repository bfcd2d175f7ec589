"""What a service answers, and what is wrong with it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

from async_backfill.errors import AsyncBackfillError

VALUE: Final = frozenset({HTTPStatus.OK, HTTPStatus.NON_AUTHORITATIVE_INFORMATION})
"""The statuses whose body is the value: 202, 204 and 206 succeed without it, or with a part of it."""

GONE: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
"""The statuses that say that there is no such key."""

PAUSING: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
"""The statuses whose ``Retry-After`` is obeyed."""

_SECONDS: Final = re.compile(r"[0-9]{1,15}(\.[0-9]{1,9})?", re.ASCII)


class HTTPSourceError(AsyncBackfillError):
    """The service did not give a value; the text is one line, without headers, user, password and query."""


class NoAnswerError(HTTPSourceError, ConnectionError):
    """No whole answer came: no connection, one that broke, or none in time; a later try may get one."""


class StatusError(HTTPSourceError):
    """The service refused; ``status`` is its code, ``retry_after`` the seconds until it wants to be asked."""

    def __init__(self, message: str, *, status: int, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class AnswerError(HTTPSourceError):
    """The answer is not what it must be: too long, not JSON of the right type, redirected too often."""


class KeyTextError(HTTPSourceError):
    """The key cannot be sent, and was not."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: its ``body`` if that is a value, and the seconds of ``Retry-After`` if it has it."""

    status: int
    body: bytes = b""
    retry_after: float | None = None

    @property
    def may_pass(self) -> bool:
        """Whether a later try may be answered otherwise."""
        return self.status >= HTTPStatus.INTERNAL_SERVER_ERROR or self.status in PAUSING

    @property
    def pause(self) -> float | None:
        """The seconds that the service wants to be left alone, when it is one that is obeyed."""
        return self.retry_after if self.status in PAUSING else None

    def refusal(self, shown: str) -> StatusError:
        """Return what to raise when this is no value; ``shown`` is the URL as errors show it."""
        return StatusError(
            f"HTTP {status_name(self.status)} from {shown}", status=self.status, retry_after=self.retry_after
        )


def status_name(status: int) -> str:
    """Return a status as errors show it: with the phrase of RFC 9110, not with the server's own."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status}"


def retry_after(value: str | None, *, now: datetime, date: str | None = None) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for, 0.0 or more; ``None`` when it says nothing.

    RFC 9110, section 10.2.3: seconds, or a date in one of the three formats of section 5.6.7. Fractions
    of a second are understood, too.

    :param now: what a date is compared with, with a time zone.
    :param date: the ``Date`` header of the same answer; it goes before ``now``, for two clocks may differ.
    """
    if value is None:
        return None
    if _SECONDS.fullmatch(trimmed := value.strip(" \t")):
        return float(trimmed)
    until, sent = _moment(value), _moment(date)
    if until is None:
        return None
    return max((until - (sent or now)).total_seconds(), 0.0)


def _moment(value: str | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(value or "")
    except (ValueError, OverflowError):
        return None
    # The format of asctime() names no zone, and is UTC.
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
