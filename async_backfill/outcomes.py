"""The possible outcomes of loading a key, other than a value.

``None`` is a value. A key that does not exist is `ABSENT`; a key whose load failed while the rest
of its batch succeeded is a `Failed`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["ABSENT", "ELSEWHERE", "Absent", "Elsewhere", "Failed", "LoadCause", "MissCause"]


class Absent(enum.Enum):
    """The type of `ABSENT`, so that type checkers can narrow ``value is ABSENT``."""

    ABSENT = "absent"

    def __repr__(self) -> str:
        return "ABSENT"

    def __bool__(self) -> Literal[False]:
        return False


ABSENT: Final = Absent.ABSENT


class Elsewhere(enum.Enum):
    """The type of `ELSEWHERE`."""

    ELSEWHERE = "elsewhere"

    def __repr__(self) -> str:
        return "ELSEWHERE"


ELSEWHERE: Final = Elsewhere.ELSEWHERE
"""The answer of a bulk load for a key that another load took over: it says nothing about the key."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The ``error`` of one key, in place of its value in the answer of ``load_many``."""

    error: BaseException


class LoadCause(enum.StrEnum):
    """Why the source was called; each key that it delivers is counted under exactly one cause."""

    MISS = "miss"
    REFRESH = "refresh"
    BACKFILL = "backfill"


class MissCause(enum.StrEnum):
    """Why a lookup missed."""

    COLD = "cold"
    """The key was never cached, or not since the last flush, as far as the cache remembers."""

    EXPIRED = "expired"
    EVICTED = "evicted"
    INVALIDATED = "invalidated"

    ABSENT = "absent"
    """The source does not have the key."""

    FAILED = "failed"
    """The source failed."""
