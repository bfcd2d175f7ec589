"""Logs of requests, each line one: the key is the path, without ``?`` and the query.

Each kind has one pattern, with possessive quantifiers, so that the time for a line grows only with its
length. The rest of a line is matched too, or each position in it would be tried as a new start.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from async_backfill._runner.logs.formats import lines_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backfill._runner.logs.filters import Filters

_HOST: Final = r"(?:[a-z]++://[^/ ?\"\\\n]*+)?"
_PATH: Final = r"[^ ?\"\\\n]++(?:\\[^\n][^ ?\"\\\n]*+)*+"
_REQUEST: Final = rf'"(?P<method>[A-Za-z-]++)\ {{host}}(?P<path>{_PATH})[^"\\\n]*+(?:\\[^\n][^"\\\n]*+)*+"'
_STATUS: Final = r"(?P<status>[0-9]{3})"
_REST: Final = r"[^\n]*+"
_WORD: Final = r"[^ \n]++\ "


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of log: its name, and the pattern of a line with the groups ``method``, ``path`` and ``status``.

    :param key: what the key is, in words.
    """

    name: str
    pattern: str
    key: str = "path without query"


def _request(*, host: bool) -> str:
    return _REQUEST.replace("{host}", _HOST if host else "")


COMMON: Final = Kind(
    "common or combined log",  # with or without a virtual host before the address
    rf"^{_WORD}{_WORD}[^\[\n]++\[[^\]\n]++\]\ {_request(host=False)}\ {_STATUS}\ [0-9-]{_REST}",
)
TWITTER: Final = Kind(
    "cache trace of Twitter's form",  # time, key, size of the key, of the value, client, operation, ttl
    r"^[0-9]++,(?P<path>[^\n]+),[0-9]++,[0-9]++,[0-9]++,(?P<method>[a-z]{2,8}),[0-9]++(?P<status>)\r?$",
    key="the second field",
)
KINDS: Final = (
    COMMON,
    Kind(
        "log of an Application Load Balancer",
        rf"^(?:https?|h2|grpcs?|wss?)\ {_WORD * 7}{_STATUS}\ {_WORD * 3}{_request(host=True)}{_REST}",
    ),
    Kind(
        "log of a Classic Load Balancer",
        rf"^[0-9]{{4}}-[0-9T:.-]++Z\ {_WORD * 6}{_STATUS}\ {_WORD * 3}{_request(host=True)}{_REST}",
    ),
    Kind(
        "log of S3",
        rf"^{_WORD * 2}\[[^\]\n]++\]\ {_WORD * 5}{_request(host=False)}\ {_STATUS}{_REST}",
    ),
    Kind(
        "log of HAProxy",
        rf"^(?:(?!haproxy)[^\n])*+haproxy[^: \n]*+:\ {_WORD}\[[^\]\n]++\]\ {_WORD * 3}{_STATUS}\ [^\"\n]*+"
        rf"{_request(host=True)}{_REST}",
    ),
    Kind(
        "log of Squid",
        rf"^\ *+[0-9]++\.[0-9]++\ ++[0-9]++\ {_WORD}[^/ \n]++/{_STATUS}\ [0-9]++\ "
        rf"(?P<method>[A-Z_-]++)\ (?P<path>[^ ?\n]++){_REST}",
        key="URL without query",
    ),
    TWITTER,
)


class RequestLog:
    """A log of requests of one ``kind``, of which ``filters`` leave some out."""

    def __init__(self, kind: Kind = COMMON, filters: Filters | None = None) -> None:
        self.description = f"{kind.name}, key: {kind.key}"
        self.expected = f"a line of a {kind.name}"
        self.kind = kind
        self._filters = filters
        pattern = kind.pattern
        if filters is None:  # one group makes it a third quicker
            pattern = pattern.replace("(?P<method>", "(?:").replace("(?P<status>", "(?:")
        self._pattern = re.compile(pattern, re.MULTILINE)

    def keys(self, text: str) -> tuple[Sequence[str], int]:
        """Return the path of each request."""
        count = len(lines_of(text))
        if self._filters is None:
            return self._pattern.findall(text), count
        allows = self._filters.allows
        return [
            line["path"] for line in self._pattern.finditer(text) if allows(line["method"], line["status"])
        ], count

    def rest(self) -> tuple[Sequence[str], int]:
        """Return nothing."""
        return (), 0

    def share(self, lines: Sequence[str]) -> float:
        """Return the share of ``lines`` that are requests of this kind."""
        found = sum(self._pattern.match(line) is not None for line in lines)
        return found / len(lines) if lines else 0.0
