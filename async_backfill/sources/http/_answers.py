"""Answers of a web service: statuses, ``Retry-After``, and the errors for bad answers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

from async_backfill.errors import AsyncBackfillError

VALUE: Final = frozenset({HTTPStatus.OK, HTTPStatus.NON_AUTHORITATIVE_INFORMATION})
"""Statuses whose body is the value; 202, 204 and 206 succeed without a value, or with a part of it."""

GONE: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
"""Statuses that mean that the key does not exist."""

PAUSING: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
"""Statuses whose ``Retry-After`` is obeyed."""

_SECONDS: Final = re.compile(r"[0-9]{1,15}(\.[0-9]{1,9})?", re.ASCII)


class HTTPSourceError(AsyncBackfillError):
    """The service did not return a value; the text is one line, without headers, user, password or query."""


class NoAnswerError(HTTPSourceError, ConnectionError):
    """No complete answer arrived: no connection, a broken one, or a timeout; a later try may succeed."""


class StatusError(HTTPSourceError):
    """The service answered with an error status.

    ``status`` is its code, ``retry_after`` the seconds that the service asks to wait, or ``None``.
    """

    def __init__(self, message: str, *, status: int, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class AnswerError(HTTPSourceError):
    """The answer cannot be used: too long, not JSON of the right type, or a redirect that is not followed."""


class TooLongError(AnswerError):
    """The request would be too long to be sent."""


class KeyTextError(HTTPSourceError):
    """The key cannot be written into a URL, so no request was sent."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer: its ``body`` if that is a value, and the seconds of its ``Retry-After``, if any.

    ``charset`` is what the service calls the encoding of its text, if it says so.
    """

    status: int
    body: bytes = b""
    retry_after: float | None = None
    charset: str | None = None

    @property
    def may_pass(self) -> bool:
        """Whether a later try may get another answer."""
        return self.status >= HTTPStatus.INTERNAL_SERVER_ERROR or self.status in PAUSING

    @property
    def pause(self) -> float | None:
        """The seconds without requests that the service asks for, if its status is one that is obeyed."""
        return self.retry_after if self.status in PAUSING else None

    def refusal(self, shown: str) -> StatusError:
        """Return the error for an answer without a value; ``shown`` is the URL as errors show it."""
        return StatusError(
            f"HTTP {status_name(self.status)} from {shown}", status=self.status, retry_after=self.retry_after
        )


def status_name(status: int) -> str:
    """Return a status as errors show it: with the phrase of RFC 9110, not the server's own."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status}"


def retry_after(value: str | None, *, now: datetime, date: str | None = None) -> float | None:
    """Return the seconds of a ``Retry-After`` header, 0.0 or more; ``None`` when there are none.

    RFC 9110, section 10.2.3: seconds, or a date in one of the three formats of section 5.6.7. Fractions
    of a second are accepted too.

    :param now: the time to compare a date with; it has a time zone.
    :param date: the ``Date`` header of the same answer; used instead of ``now``, as clocks may differ.
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
