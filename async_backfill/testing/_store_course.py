"""A long random sequence of calls to a store, checked against a dict."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Final, Generic

from async_backfill.contracts import BoundedStore, K
from async_backfill.outcomes import ABSENT
from async_backfill.testing._claims import holds, same

if TYPE_CHECKING:
    from collections.abc import Sequence

_CALLS: Final = ("set_many", "set_many", "add", "read", "read", "delete_many", "evict_oldest", "clear")


class StoreCourse(Generic[K]):
    """A sequence of random calls to ``store``, always the same, with a check of its promises after each."""

    def __init__(self, store: BoundedStore[K, Any], keys: Sequence[K]) -> None:
        self._store = store
        self._keys = keys
        self._held: dict[K, Any] = {}
        self._draws = random.Random(2009)  # noqa: S311 - seeded, not secret

    def run(self, steps: int) -> None:
        """Make ``steps`` calls."""
        store = self._store
        for step in range(steps):
            call = self._draws.choice(_CALLS) if step % 5 else "set_many"
            keys = self._draws.sample(self._keys, self._draws.randrange(1, 5))
            removals = store.removals
            expected = self._make(call, keys, step)
            self._held = self._look()
            same(self._held, expected, f"after {call} of {keys!r}")
            same(len(store), len(self._held), "a store counts its entries")
            holds("removals never decrease", kept=store.removals >= removals)
            if store.capacity is not None:
                holds(f"{len(store)} of {store.capacity} entries", kept=len(store) <= store.capacity)
                same(store.free_room(), store.capacity - len(store), "the rest of the room is free")

    def _make(self, call: str, keys: Sequence[K], step: int) -> dict[K, Any]:
        """Make one call and return the items that the store must hold after it."""
        store, held = self._store, self._held
        if call in {"set_many", "add"}:
            return self._set({key: (step, key) for key in keys}, evict=call == "set_many")
        if call == "read":
            found = {key: store.read(key, ABSENT) for key in keys}
            same(found, {key: held.get(key, ABSENT) for key in keys}, "read finds what is held")
        elif call == "delete_many":
            store.delete_many(keys)
            return {key: value for key, value in held.items() if key not in keys}
        elif call == "evict_oldest" and held:
            evicted = store.evict_oldest()
            holds(f"{evicted!r} was evicted but not stored", kept=evicted in held)
            return {key: value for key, value in held.items() if key != evicted}
        elif call == "clear":
            store.clear()
            return {}
        return held

    def _set(self, items: dict[K, Any], *, evict: bool) -> dict[K, Any]:
        evicted = set(self._store.set_many(items, evict=evict))
        now = self._look()
        if not evict:
            holds(f"{evicted!r} were evicted with evict=False", kept=not evicted)
        unreported = ({*self._held, *items} if evict else set(self._held)) - set(now) - evicted
        holds(f"{unreported!r} left and were not returned", kept=not unreported)
        return {key: value for key, value in {**self._held, **items}.items() if key in now}

    def _look(self) -> dict[K, Any]:
        found = {key: self._store.peek(key, ABSENT) for key in self._keys}
        return {key: value for key, value in found.items() if value is not ABSENT}
