"""Contract tests for a far tier's store (L2) that takes values as they are when they land."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic

from async_backfill.contracts import K, Sealing, V
from async_backfill.testing._claims import holds, same

if TYPE_CHECKING:
    from collections.abc import Sequence


class SealingContract(Generic[K, V]):
    """Tests of the promises of `Sealing`; inherit from it, and give the fixture ``store``, empty at first.

    Use it beside `FarStoreContract`.
    """

    keys: Sequence[K]
    """Two keys or more."""

    refused: object
    """A value that the store cannot keep."""

    def value(self) -> V:
        """Return a value that can be changed, a new and equal one at each call."""
        raise NotImplementedError

    def change(self, value: V) -> None:
        """Change ``value``, so that it differs from a new one."""
        raise NotImplementedError

    async def test_a_store_says_that_it_seals(self, store: Any) -> None:
        holds("the class of the store inherits from Sealing", kept=Sealing in type(store).__mro__)

    async def test_a_value_that_changes_after_it_was_sealed_is_kept_as_it_was(self, store: Any) -> None:
        values = {key: self.value() for key in self.keys}
        sealed = store.seal(values)
        for value in values.values():
            self.change(value)
        await store.set_many(sealed)
        copies = await store.get_many(tuple(self.keys))
        found = {key: copy.value for key, copy in copies.items()}
        same(found, {key: self.value() for key in self.keys}, "a value is kept as it was when it was sealed")

    async def test_sealing_keeps_nothing_yet(self, store: Any) -> None:
        store.seal({key: self.value() for key in self.keys})
        same(await store.get_many(tuple(self.keys)), {}, "a value is kept only when it is set")

    async def test_what_cannot_be_kept_is_left_out_and_spoils_no_other(self, store: Any) -> None:
        bad, *others = self.keys
        sealed = store.seal({bad: self.refused, **{key: self.value() for key in others}})
        same(set(sealed), set(others), "what cannot be kept is left out")
        await store.set_many(sealed)
        found = await store.get_many(tuple(self.keys))
        same(set(found), set(others), "the others are kept")
