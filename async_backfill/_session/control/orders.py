"""Carry out what was ordered, in this process."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Generic, cast

from async_backfill._common.validation import real, whole
from async_backfill._session.control.details import details_of
from async_backfill.backfill._running import ended
from async_backfill.backfill._threshold import checked_threshold
from async_backfill.contracts import K, V
from async_backfill.errors import ConfigurationError
from async_backfill.events import ControlChanged
from async_backfill.records import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from async_backfill._session.parts import Parts
    from async_backfill._session.writes import Writes
    from async_backfill.backfill._backfiller import Backfiller
    from async_backfill.backfill._episode import Episode
    from async_backfill.backfill._history.readiness import Warming
    from async_backfill.backfill._history.recovery import Recovery
    from async_backfill.contracts import Approval, ControlOrder
    from async_backfill.records import AuditRecord

_SLOWEST: Final = 0.01
_FASTEST: Final = 1e9
_TUNINGS: Final = frozenset({"threshold", "batch", "rate"})


class Orders(Generic[K, V]):
    """Carries out orders; each is audited, told to observers, and logged.

    :param turn: turns the cache off, or on again.
    :param forget: forgets keys that another process has changed; ``None`` means every key.
    """

    def __init__(
        self,
        parts: Parts[K, V],
        *,
        backfiller: Backfiller[K] | None,
        warming: Warming[K],
        recovery: Recovery,
        writes: Writes[K, V],
        turn: Callable[[bool], None],
        forget: Callable[[Sequence[K] | None], None],
    ) -> None:
        self.forget = forget
        self._parts = parts
        self._backfiller = backfiller
        self._warming = warming
        self._recovery = recovery
        self._writes = writes
        self._turn_cache = turn

    async def carry_out(self, order: ControlOrder, *, elsewhere: bool = False) -> Any:
        """Do what ``order`` says; return what the verb returns."""
        budget, result = self._parts.budget, cast("Any", None)
        if order.verb == "revoke":
            result = await budget.withdraw(order.details["permits"], by=order.by, reason=order.reason)
            order = replace(order, details=MappingProxyType({"permits": result}))
        elif order.verb == "approve":
            await budget.grant(order.details["permits"], by=order.by, reason=order.reason)
        cancelled = self.decide(order)
        if order.verb == "approve":
            result = self._approved(order.by, order.reason, order.details["permits"])
        else:
            self._audit(order.verb, details_of(order), by=order.by, reason=order.reason)
        self._parts.reports.tell(ControlChanged(order=order, elsewhere=elsewhere))
        if order.verb == "invalidate":
            if elsewhere:  # who gave the order has removed it from the far tier
                self.forget((order.key,))
            else:
                await self._writes.invalidate_many((order.key,))
        await ended(cancelled)
        return bool(cancelled) if order.verb == "cancel" else result

    def decide(self, order: ControlOrder) -> Sequence[Episode]:
        """Let what ``order`` decides stand, unless a later one decides it; return the backfills it ends."""
        standing = self._parts.standing
        decided = standing.decided_by(order)
        standing.note(order)
        if order.verb == "retune":
            self._retune({name: order.details[name] for name in decided})
        elif "backfills" in decided:
            standing.is_paused = order.verb == "pause"
        elif "cache" in decided:
            self._turn(is_off=order.verb == "off")
        if decided and order.verb in {"resume", "on"}:
            self._warming.approved()
        is_over = order.verb == "cancel" or (standing.is_off and "cache" in decided)
        if self._backfiller is None or not is_over:
            return ()
        return self._backfiller.running.cancel(order.by, order.reason)

    def heard(self, approval: Approval) -> None:
        """Take note that another process has approved backfills, or taken permits back."""
        if approval.permits > 0:
            self._approved(approval.by, approval.reason, approval.permits)
        else:
            self._audit("revoke", f"permits={-approval.permits}", by=approval.by, reason=approval.reason)

    def _approved(self, by: str, reason: str, permits: int) -> AuditRecord:
        """Take note that more backfills were approved, here or elsewhere: wake what is at rest."""
        parts = self._parts
        if parts.usefulness is not None:
            parts.usefulness.receipts.wake()
        self._recovery.approved()
        self._warming.approved()
        told = f"permits={permits}"
        return parts.audit.add(Status.APPROVED, **self._facts(by, reason), verb="approve", details=told)

    def _audit(self, verb: str, details: str | None, *, by: str, reason: str) -> None:
        self._parts.audit.add(Status.CONTROL, **self._facts(by, reason), verb=verb, details=details)

    def _facts(self, by: str, reason: str) -> dict[str, Any]:
        lookups, left = self._parts.counters.lookups, self._parts.budget.permits_left
        return {"lookup": lookups, "permits_left": left, "by": by, "reason": reason}

    def _turn(self, *, is_off: bool) -> None:
        if is_off is not self._parts.standing.is_off:
            self._parts.standing.is_off = is_off
            self._turn_cache(is_off)

    def _retune(self, details: Mapping[str, Any]) -> None:
        parts, standing = self._parts, self._parts.standing
        details = checked(parts, **details) if details else details
        if "threshold" in details:
            share = details["threshold"]
            for trigger in parts.by_rate:
                trigger.threshold = standing.threshold if share is None else share
        if "batch" in details:
            batch = details["batch"]
            standing.batch = standing.usual_batch if batch is None else batch
        if "rate" in details:
            standing.rate = details["rate"]
            if self._backfiller is not None:
                self._backfiller.pace.changed()


def checked(parts: Parts[Any, Any], /, **tunings: Any) -> Mapping[str, Any]:
    """Return the ``tunings`` that are given, checked as the constructor does; ``...`` stands for none.

    :raises ConfigurationError: when one is outside what is allowed, or none is given.
    """
    given = {name: value for name, value in tunings.items() if value is not ...}
    if not given:
        raise ConfigurationError("retune", "nothing to change was given: threshold, batch or rate")
    if unknown := given.keys() - _TUNINGS:  # of an order of another release
        raise ConfigurationError("retune", f"{min(unknown)!r} is not known: threshold, batch or rate")
    if given.get("threshold") is not None:
        given["threshold"] = checked_threshold("threshold", given["threshold"])
    if "threshold" in given and not parts.by_rate:
        raise ConfigurationError("threshold", "the cache has a trigger of its own: change it there")
    if given.get("batch") is not None:
        given["batch"] = whole("batch", given["batch"], least=1)
    if given.get("rate") is not None:
        given["rate"] = real("rate", given["rate"], least=_SLOWEST, most=_FASTEST)
    return MappingProxyType(given)
