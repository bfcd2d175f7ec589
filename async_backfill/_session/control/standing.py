"""What people have ordered a cache to do, from one opening to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from async_backfill.backfill._running import Running
    from async_backfill.contracts import ControlOrder, ControlVerb


class Standing:
    """The orders that stand.

    ``batch``, ``rate``
        keys of a backfill, and keys a second; ``None`` where nobody has set any.
    ``threshold``
        that of the constructor, which ``retune`` can go back to.
    ``orders``
        the latest order of each verb.
    ``running``
        the backfills that run; ``None`` where there are none.
    """

    def __init__(self, *, threshold: float, batch: int | None) -> None:
        self.threshold = threshold
        self.usual_batch = self.batch = batch
        self.rate: float | None = None
        self.orders: dict[ControlVerb, ControlOrder] = {}
        self.is_off = self.is_paused = False
        self.running: Running | None = None

    def why_no_backfill(self, by_a_person: bool = False) -> str | None:  # noqa: FBT001, FBT002 - one question
        """Return why no backfill may start, by a person or by itself; ``None`` when one may."""
        if self.is_off:
            return f"the cache was turned off by {_who(self.orders.get('off'))}"
        if self.is_paused and not by_a_person:
            return f"backfills were paused by {_who(self.orders.get('pause'))}"
        return None


def _who(order: ControlOrder | None) -> str:
    return "somebody" if order is None else f"{order.by}: {order.reason}"
