"""Marks: what a removal leaves in Redis for a while, and which marks this process has met.

A *tombstone* is the letter T, a time and 4 random bytes. A page that was read before that time, and is
written after it, must not bring the key back.
"""

from __future__ import annotations

import secrets
from struct import Struct
from typing import TYPE_CHECKING, Final

from async_backfill._envelopes.tombstone import LENGTH, LETTER, is_tombstone

if TYPE_CHECKING:
    from collections.abc import Iterable

MARKS_LIVE: Final = 60.0
"""The seconds for which tombstones, the stamp of a clear and the markers of leases stay."""
LIFE: Final = int(MARKS_LIVE * 1000)
"""The same in milliseconds."""
MARGIN: Final = 5.0
"""The seconds that a mark or a copy must be older than a page's read, or it counts as later."""
MARK: Final = 47
"""So many bytes of an entry tell it from every other of its key: the header, signed or not."""

_TIME: Final = Struct(">d")
_MOST: Final = 10_000


def tombstone(now: float) -> bytes:
    """Return a tombstone of the time ``now``, in seconds since the epoch; no two are equal."""
    return LETTER + _TIME.pack(now) + secrets.token_bytes(LENGTH - 1 - _TIME.size)


def time_of(mark: bytes) -> float:
    """Return the time of a tombstone; 0.0 for anything else."""
    if not is_tombstone(mark):
        return 0.0
    found: float = _TIME.unpack_from(mark, 1)[0]
    return found


class Met:
    """The latest marks and young copies that this process has met, and when: they are no later than that.

    So a load that begins afterwards may replace them, whatever the clocks say. At most 10,000 are known.
    """

    def __init__(self) -> None:
        self._met: dict[bytes, tuple[bytes, float]] = {}

    def __len__(self) -> int:
        return len(self._met)

    def note(self, marks: Iterable[tuple[bytes, bytes]], now: float) -> None:
        """Take note of ``marks``: names in Redis, and the first bytes of what was there before ``now``."""
        met = self._met
        for name, mark in marks:
            met.pop(name, None)
            met[name] = mark, now
        while len(met) > _MOST:
            del met[next(iter(met))]

    def before(self, name: bytes, read_at: float) -> bytes:
        """Return the mark of ``name`` that was met before ``read_at``; empty without one."""
        mark, at = self._met.get(name, (b"", 0.0))
        return mark if at <= read_at else b""
