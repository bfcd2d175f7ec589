"""Capabilities that a server reports on connecting."""

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
    """Whether the server has ``MSETEX`` (Valkey 9.1, Redis 8.4), and the slots of its cluster, if any."""

    msetex: bool
    slots: SlotMap | None


def facts_of(answers: Sequence[Reply], host: str) -> Facts:
    """Return the capabilities from the replies to `QUESTIONS`; an error reply means that one is missing.

    :param host: the host of the server; empty for a Unix socket.
    """
    known, ranges = answers
    return Facts(
        msetex=isinstance(known, list) and bool(known and known[0]),
        slots=SlotMap(ranges, host) if isinstance(ranges, list) and host else None,
    )
