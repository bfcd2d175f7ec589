"""What asking a source for one key can come to, besides a value.

``None`` is a value. A key that does not exist is `ABSENT`; a key whose load failed while the rest
of its batch succeeded is a `Failed`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final, Literal


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
"""What a bulk load answers for a key that another load has taken: it says nothing about the key."""


@dataclass(frozen=True, slots=True)
class Failed:
    """What ``load_many`` puts in place of a value when this one key failed and others did not."""

    error: BaseException


class LoadCause(enum.StrEnum):
    """Why the source was asked; every key that it delivers is counted under exactly one cause."""

    MISS = "miss"
    REFRESH = "refresh"
    BACKFILL = "backfill"


class MissCause(enum.StrEnum):
    """Why a lookup found nothing."""

    COLD = "cold"
    """The key was never there, or not since the cache was flushed, as far as is remembered."""

    EXPIRED = "expired"
    EVICTED = "evicted"
    INVALIDATED = "invalidated"

    ABSENT = "absent"
    """The source does not have the key."""

    FAILED = "failed"
    """The source failed."""
