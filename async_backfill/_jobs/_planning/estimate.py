"""What a plan will cost, by what was measured for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from async_backfill._jobs._plan import Plan

_BESIDE: Final = (
    80  # bytes of an entry beside key and value: a server's tables and its end, an index of SQLite
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a job will cost.

    ``bytes``
        of all packed rows.
    ``store_after``, ``store_share``
        the bytes that the store will use, and their share of its limit; ``None`` where it does not say.
    ``seconds``
        at the rate that the plan starts with; ``None`` when it has none.
    """

    bytes: int
    store_after: int | None
    store_share: float | None
    seconds: float | None


def estimate(plan: Plan) -> Estimate:
    """Return what ``plan`` will cost; rows that the store has already take no more room."""
    added = round(plan.rows * (1.0 - plan.present) * (plan.row_bytes + _BESIDE))
    after = None if plan.store_bytes is None else plan.store_bytes + added
    rate = plan.spec.settings.rate
    return Estimate(
        bytes=round(plan.rows * plan.row_bytes),
        store_after=after,
        store_share=None if after is None or not plan.store_limit else after / plan.store_limit,
        seconds=None if rate is None else plan.rows / rate,
    )
