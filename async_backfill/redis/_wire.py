"""The Redis protocol: types of commands, their arguments and replies, and how a ttl is sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from async_backfill._common.validation import positive_seconds_or_none

Argument: TypeAlias = bytes | str | int | float
"""An argument of a command: ``float`` is sent as its shortest text, ``str`` as UTF-8."""

Command: TypeAlias = Sequence[Argument]
"""The name of a command and its arguments."""

Reply: TypeAlias = Any
"""A reply: ``bytes``, ``int``, ``None``, a list of replies, or a `RedisReplyError`."""


class Expected(NamedTuple):
    """What answers to commands must be like: the lengths of lists, and the longest text in bytes."""

    lengths: Sequence[int] = ()
    most: int | None = None

    def of(self, places: Sequence[int]) -> Expected:
        """Return what is expected of the answers to the commands at ``places``."""
        return self._replace(lengths=[self.lengths[place] for place in places]) if self.lengths else self


LONGEST_LEASE: Final = 10.0**9
"""In seconds: the end of a lease is a time in milliseconds, which the scripts keep as 13 digits."""

_LONGEST_TTL: Final = 10.0**10  # seconds; the server cannot represent much later times


def milliseconds(ttl: float | None) -> int | None:
    """Return ``ttl`` in whole milliseconds, 1 or more."""
    seconds = positive_seconds_or_none("ttl", ttl)
    return None if seconds is None else max(int(min(seconds, _LONGEST_TTL) * 1000.0), 1)
