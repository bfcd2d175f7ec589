"""Contract tests for a far tier's store (L2) that keeps marks of jobs and says how it fares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic

from async_backfill.contracts import K, StoreFacts, V
from async_backfill.errors import ConfigurationError
from async_backfill.testing._claims import holds, same

if TYPE_CHECKING:
    from collections.abc import Mapping


class StoreFactsContract(Generic[K, V]):
    """Tests of the promises of `StoreFacts`; inherit from it, and give the fixtures ``store`` and ``peer``.

    ``store`` is empty when a test begins; ``peer`` is the store of another process, with the same values. Use
    it beside `FarStoreContract`.
    """

    items: Mapping[K, V]
    """One key or more with their values."""

    async def test_a_store_says_that_it_keeps_marks(self, store: Any) -> None:
        holds("the class of the store inherits from StoreFacts", kept=StoreFacts in type(store).__mro__)

    async def test_a_mark_that_nobody_made_is_none(self, store: Any) -> None:
        same(await store.marked("7"), None, "there is no mark")

    async def test_every_process_finds_the_latest_mark(self, store: Any, peer: Any) -> None:
        for value in ("first", "1/3f9c", ""):
            await store.mark("7", value)
            same(await peer.marked("7"), value, "the mark is what was kept last")

    async def test_marks_of_other_names_are_others(self, store: Any, peer: Any) -> None:
        names = ("7", "70", "job:7", "a.b_c-d", "x" * 100)
        for name in names:
            await store.mark(name, f"of {name}")
        for name in names:
            same(await peer.marked(name), f"of {name}", "each name has its own mark")

    async def test_what_is_unmarked_is_gone_and_nothing_else(self, store: Any, peer: Any) -> None:
        await store.mark("7", "seven")
        await store.mark("8", "eight")
        for _ in range(2):
            await peer.unmark("7")
        same(await store.marked("7"), None, "what is unmarked is gone")
        same(await store.marked("8"), "eight", "other marks stay")

    async def test_entries_and_marks_do_not_touch_each_other(self, store: Any, peer: Any) -> None:
        await store.mark("7", "seven")
        await store.set_many(self.items)
        await store.delete_many(tuple(self.items))
        same(await peer.marked("7"), "seven", "the mark stays when entries go")
        await store.set_many(self.items)
        await store.unmark("7")
        same(set(await peer.get_many(tuple(self.items))), set(self.items), "entries stay when a mark goes")

    async def test_marks_are_lost_with_all_entries(self, store: Any, peer: Any) -> None:
        await store.mark("7", "seven")
        await store.set_many(self.items)
        await peer.clear()
        same(await store.marked("7"), None, "a clear removes the marks: the rows of the job are gone")

    async def test_a_name_that_cannot_be_that_of_a_mark_is_refused(self, store: Any) -> None:
        for name in ("", "a b", "{7}", "ü", "x" * 101):
            for call in (lambda name: store.mark(name, ""), store.marked, store.unmark):
                try:
                    await call(name)
                except ConfigurationError:
                    continue
                holds(f"the name {name!r:.20} raises ConfigurationError", kept=False)

    async def test_the_state_has_numbers_that_can_be(self, store: Any) -> None:
        await store.set_many(self.items)
        state = await store.state()
        holds(f"what is used is not negative: {state!r}", kept=state.used is None or state.used > 0)
        holds(f"a limit is above 0: {state!r}", kept=state.limit is None or state.limit > 0)
        holds(f"evictions are counted from 0: {state!r}", kept=state.evicted is None or state.evicted >= 0)
