"""What people have ordered a cache to do, from one opening to the next."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from async_backfill.backfill._running import Running
    from async_backfill.contracts import ControlOrder, ControlVerb

_KEPT: Final = 100


class Standing:
    """The orders that stand.

    ``batch``, ``rate``
        keys of a backfill, and keys a second; ``None`` where nobody has set any.
    ``threshold``, ``usual_batch``
        those of the constructor, which ``retune`` can go back to.
    ``orders``
        the latest order of each verb.
    ``running``
        the backfills that run; ``None`` where there are none.
    ``seen``
        the version of the latest order of the fleet that was looked at; ``None`` before the first look.
    ``losses``
        how often the channel has lost all orders.
    """

    def __init__(self, *, threshold: float, batch: int | None) -> None:
        self.threshold = threshold
        self.usual_batch = self.batch = batch
        self.rate: float | None = None
        self.orders: dict[ControlVerb, ControlOrder] = {}
        self.is_off = self.is_paused = False
        self.running: Running | None = None
        self.seen: int | None = None
        self.losses = 0
        self.channel_error: str | None = None
        self.channel_failures = 0
        self._versions: dict[str, int] = {}
        self._ids: dict[int, str] = {}
        self._own: dict[str, None] = {}

    def why_no_backfill(self, by_a_person: bool = False) -> str | None:  # noqa: FBT001, FBT002 - one question
        """Return why no backfill may start, by a person or by itself; ``None`` when one may."""
        if self.is_off:
            return f"the cache was turned off by {_who(self.orders.get('off'))}"
        if self.is_paused and not by_a_person:
            return f"backfills were paused by {_who(self.orders.get('pause'))}"
        return None

    def decided_by(self, order: ControlOrder) -> Collection[str]:
        """Return what ``order`` decides from now on, because no later one has decided it."""
        decided = [one for one in order.decides if not 0 < order.version <= self._versions.get(one, 0)]
        if order.version:
            self._versions.update(dict.fromkeys(decided, order.version))
        return decided

    def note(self, order: ControlOrder) -> None:
        """Keep ``order`` as the latest of its verb, unless a later one is there."""
        before = self.orders.get(order.verb)
        if before is None or not 0 < order.version <= before.version:
            self.orders[order.verb] = order

    def start_again(self) -> None:
        """Take note that versions begin anew: the channel has lost all orders. What stands, stands."""
        self.losses += 1
        self.seen = None if self.seen is None else 0
        self._versions.clear()
        self._ids.clear()
        self.orders = {verb: replace(order, version=0) for verb, order in self.orders.items()}

    @property
    def latest(self) -> int:
        """The latest version of an order that this process knows of."""
        return max(self.seen or 0, 0, *self._ids)

    def saw(self, order: ControlOrder) -> None:
        """Take note of which order has the version of ``order``."""
        self._ids[order.version] = order.id
        if len(self._ids) > _KEPT:
            del self._ids[next(iter(self._ids))]

    def has_others(self, orders: Sequence[ControlOrder]) -> bool:
        """Return whether one of ``orders`` has the version of another order, which was lost then."""
        return any(self._ids.get(order.version, order.id) != order.id for order in orders)

    def is_own(self, order: ControlOrder) -> bool:
        """Return whether ``order`` was given here, lately, and so carried out already."""
        return order.id in self._own

    def give(self, order: ControlOrder) -> None:
        """Take note that ``order`` was given here."""
        self._own[order.id] = None
        if len(self._own) > _KEPT:
            del self._own[next(iter(self._own))]


def _who(order: ControlOrder | None) -> str:
    return "somebody" if order is None else f"{order.by}: {order.reason}"
