"""What the pages of caches show, from what each `BackfillCache` of this process says of itself."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import msgspec

from async_backfill._common.error_text import key_text
from async_backfill.admin._live import Shown
from async_backfill.admin._refusals import RefusedError
from async_backfill.records import BudgetState, CircuitState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from async_backfill._cache import BackfillCache
    from async_backfill.admin._cache_course import Courses
    from async_backfill.admin._pages import Pages
    from async_backfill.stats import Stats

_MOST_FOLLOWED: Final = 200
_MOST_RECORDS: Final = 50
_PARTS: Final = (
    "cache_status",
    "cache_course",
    "cache_figures",
    "cache_control",
    "cache_readiness",
    "cache_audit",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheRow:
    """A cache in the list: its address, its name and its counters."""

    address: str
    name: str
    stats: Stats

    @property
    def needs_a_look(self) -> bool:
        """Whether a person has to do something: approve, or see why a source is not called."""
        stats = self.stats
        far_fails = stats.far is not None and stats.far.circuit is not CircuitState.CLOSED
        source_fails = stats.circuit not in {None, CircuitState.CLOSED}
        return stats.budget is BudgetState.NEEDS_APPROVAL or far_fails or source_fails


class CachesView:
    """Looks at the caches of this process, by the names that the application gives them."""

    def __init__(self, caches: Mapping[str, BackfillCache[Any, Any]], pages: Pages, courses: Courses) -> None:
        self._caches = caches
        self._pages = pages
        self._courses = courses

    def rows(self, base: str) -> tuple[dict[str, str], dict[str, Any]]:
        """Return the parts of the list that are followed, and the facts for its page."""
        rows = [
            CacheRow(address=_address(name), name=name, stats=cache.stats)
            for name, cache in tuple(self._caches.items())
        ]
        rows.sort(key=lambda row: (not row.needs_a_look, row.name))
        attention = sum(row.needs_a_look for row in rows)
        table = self._pages.render("caches", base=base, caches=rows)
        told = self._pages.render("caches_told", attention=attention, count=len(rows))
        is_followed = len(rows) <= _MOST_FOLLOWED
        parts = {"caches_told": told} | ({"caches": table} if is_followed else {})
        return parts, {"caches_table": table, "is_followed": is_followed}

    async def look(self, address: str) -> Shown:
        """Return what the page of a cache shows now."""
        name, cache = self.find(address)
        stats = cache.stats
        self._courses.note(cache, stats)
        facts: dict[str, Any] = {
            "name": name,
            "address": address,
            "stats": stats,
            "course": self._courses.stretches(cache),
            "control": control_of(cache),
            "readiness": cache.peek_readiness(),
            "records": cache.audit_log[: -_MOST_RECORDS - 1 : -1],
        }
        parts = {part: self._pages.render(part, **facts) for part in _PARTS}
        control = facts["control"]
        tuned = (control["threshold"], control["batch"], control["rate"])
        acts_on = (
            *(stats.budget, stats.permits_left is None, stats.snapshot is None),
            *(control["is_off"], control["is_paused"], control["running"] is None, tuned),
        )
        return Shown(parts=parts, facts=facts, acts_on=acts_on)

    def data(self) -> list[dict[str, Any]]:
        """Return all caches as plain JSON values, with their figures."""
        return [
            {"name": name, "stats": msgspec.to_builtins(cache.stats)}
            for name, cache in sorted(self._caches.items())
        ]

    def data_of(self, name: str) -> dict[str, Any]:
        """Return all that is known of a cache as plain JSON values."""
        name, cache = self.named(name)
        readiness = cache.peek_readiness()
        return {
            "name": name,
            "stats": msgspec.to_builtins(cache.stats),
            "control": control_of(cache),
            "readiness": None if readiness is None else msgspec.to_builtins(readiness),
            "audit": [record.as_dict() for record in cache.audit_log[: -_MOST_RECORDS - 1 : -1]],
        }

    def named(self, name: str) -> tuple[str, BackfillCache[Any, Any]]:
        """Return a cache by its name, or else by its address."""
        cache = self._caches.get(name)
        return (name, cache) if cache is not None else self.find(name)

    def find(self, address: str) -> tuple[str, BackfillCache[Any, Any]]:
        """Return the name of the cache at an address of `CacheRow`, and the cache."""
        for name, cache in tuple(self._caches.items()):
            if _address(name) == address:
                return name, cache
        raise RefusedError(404, "There is no such cache in this process.")


def control_of(cache: BackfillCache[Any, Any]) -> dict[str, Any]:
    """Return what was ordered of a cache as plain JSON values."""
    status = cache.control.status
    orders = {
        verb: {
            "by": order.by,
            "reason": order.reason,
            "time": order.time,
            "details": dict(order.details),
            "key": None if order.key is None else key_text(order.key),
        }
        for verb, order in status.orders.items()
    }
    return {**msgspec.to_builtins(replace(status, orders={})), "orders": orders}


def _address(name: str) -> str:
    """Return what stands for a name in an address: a name may hold anything."""
    return hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:16]
