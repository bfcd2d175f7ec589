"""The backfill permits that several processes share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A person's approval of more backfills: how many ``permits``, ``by`` whom, why, and when.

    Where ``permits`` is negative, so many were taken back.

    ``number``
        rises with each approval.
    ``time``
        seconds since the epoch.
    """

    number: int
    permits: int
    by: str
    reason: str
    time: float


class Permits(Protocol):
    """The backfill permits that a fleet of processes shares; they outlive all its processes."""

    async def acquire(self) -> tuple[bool, int]:
        """Spend a permit if one is left; return whether it was spent, and how many are left now."""
        ...

    async def approve(self, permits: int, /, *, by: str, reason: str) -> int:
        """Add ``permits``, 1 or more, and note who approved them and why; return how many are left now."""
        ...

    async def revoke(self, permits: int | None, /, *, by: str, reason: str) -> tuple[int, int]:
        """Take up to ``permits`` back that are left, ``None`` for all; return how many, and what is left.

        Who took any back, and why, is noted as an approval of so many less than none.
        """
        ...

    async def approvals(self) -> Sequence[Approval]:
        """Return the latest approvals of all processes, oldest first: a hundred at the least."""
        ...

    async def left(self) -> int:
        """Return how many permits are left."""
        ...
