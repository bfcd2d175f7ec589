"""What a server says of itself when it is connected to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from async_backfill.redis._client import pack
from async_backfill.redis._cluster import SlotMap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backfill.redis._wire import Reply

QUESTIONS: Final = pack(("COMMAND", "INFO", "MSETEX")) + pack(("CLUSTER", "SLOTS"))
QUESTION_COUNT: Final = 2


@dataclass(frozen=True, slots=True)
class Facts:
    """Whether it has ``MSETEX``, as Valkey 9.1 and Redis 8.4 have; and the map of its cluster."""

    msetex: bool
    slots: SlotMap | None


def facts_of(answers: Sequence[Reply], host: str) -> Facts:
    """Return what the answers to `QUESTIONS` say; one that is refused, as it may be, says no.

    :param host: of the server that was asked; empty for a socket in the file system.
    """
    known, ranges = answers
    return Facts(
        msetex=isinstance(known, list) and bool(known and known[0]),
        slots=SlotMap(ranges, host) if isinstance(ranges, list) and host else None,
    )
