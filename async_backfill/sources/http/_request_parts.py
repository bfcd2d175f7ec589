"""The parts of a request, which users give or make: checked before anything is sent."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from yarl import URL

from async_backfill.errors import ConfigurationError
from async_backfill.sources.http._answers import AnswerError, TooLongError
from async_backfill.sources.http._template import ascii_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from async_backfill.sources.http._batch import BatchRequest

_OURS: Final = frozenset({"accept-encoding", "connection", "content-length", "host", "transfer-encoding"})
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HOST: Final = re.compile(r"[0-9A-Za-z._:-]{1,255}")
_FIELD: Final = re.compile(r"[\x20-\x7e\t]*")
_LONGEST_URL: Final = 1 << 16


def check_url(setting: str, url: str) -> None:
    """Check that aiohttp can send a request to ``url``.

    :raises ConfigurationError: when it cannot; the text shows nothing of the URL.
    """
    if parsed(url) is None:
        raise ConfigurationError(setting, "is not a URL that a request can be sent to")


def check_headers(headers: Mapping[Any, Any]) -> None:
    """Check that ``headers`` can be sent, and are none that the source sets itself.

    :raises ConfigurationError: when they cannot; the text shows the name, never the value.
    """
    for name, value in headers.items():
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            raise ConfigurationError("headers", f"must have names of headers, not {name!r:.100}")
        if name.lower() in _OURS:
            raise ConfigurationError("headers", f"must not have {name}, which the source sets itself")
        if not isinstance(value, str) or not _FIELD.fullmatch(value):
            raise ConfigurationError("headers", f"the value of {name} must be printable ASCII text")


def usable(asked: BatchRequest, shown: str) -> URL:
    """Return the checked URL of a request, which a function of the user may have made."""
    if len(asked.url) >= _LONGEST_URL:
        raise TooLongError(f"no request to {shown} could be made: its URL has {len(asked.url):,} characters")
    url = parsed(asked.url)
    try:
        check_headers(asked.headers)
    except ConfigurationError as refused:
        raise AnswerError(f"no request to {shown} could be made: {refused}") from None
    if url is None:
        raise AnswerError(f"no request to {shown} could be made: it is not an http or https URL")
    return url


def parsed(text: str) -> URL | None:
    """Return ``text`` as an http or https URL with a valid host and port, or ``None``."""
    try:
        url = URL(ascii_url(text), encoded=True)
        has_host = bool(_HOST.fullmatch(url.raw_host or "")) and 0 < (url.port or 0) < 1 << 16
    except ValueError:
        return None
    return url if url.scheme in ("http", "https") and has_host and len(text) < _LONGEST_URL else None


def lowered(headers: Mapping[str, str]) -> dict[str, str]:
    """Return ``headers`` with their names in lower case."""
    return {name.lower(): value for name, value in headers.items()}
