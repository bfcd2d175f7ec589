"""Contract tests for a far tier's store (L2) that tells by versions which of two values is later."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic

from async_backfill.contracts import K, V, VersionedStore
from async_backfill.testing._calls import together
from async_backfill.testing._claims import holds, same
from async_backfill.testing._guarded_store_contract import adds_up
from async_backfill.testing._outdated_leases_contract import found

if TYPE_CHECKING:
    from collections.abc import Sequence

_NEXT: Final = ((0, 1), (255, 256), (2**32 - 1, 2**32), (2**53, 2**53 + 1), (2**63 - 1, 2**63))
_LONG: Final = 3600.0


class VersionedStoreContract(Generic[K, V]):
    """Tests of the promises of `VersionedStore`; inherit from it, and give the fixtures below.

    ``store`` is empty when a test begins, and was given a ``version_of``; ``peer`` is the store of another
    process, with the same values. Use it beside `GuardedStoreContract`, whose store has no ``version_of``,
    and with `GuardedLeasesContract` if it has leases.
    """

    keys: Sequence[K]
    """Three keys or more."""

    refused: Sequence[Any] = ()
    """Values without a version, which the store cannot keep."""

    resolution: float = 0.01
    """The largest difference in seconds between the store's clock and the event loop's in a test."""

    def value(self, version: int) -> V:
        """Return a value of this ``version``."""
        raise NotImplementedError

    async def test_a_store_says_that_it_has_versions(self, store: Any) -> None:
        holds("the class inherits from VersionedStore", kept=VersionedStore in type(store).__mro__)
        same(store.version_of(self.value(7)), 7, "the version of a value is known")

    async def test_a_lower_version_never_replaces_a_higher_one_however_late_it_was_read(
        self, store: Any, peer: Any
    ) -> None:
        for (low, high), put in zip(_NEXT, (True, False) * 3, strict=False):
            if put:
                await peer.set_many({self.keys[0]: self.value(high)})
            else:
                await peer.set_page({self.keys[0]: self.value(high)}, read_at=peer.now() - 1.0)
            rows = {key: self.value(low) for key in self.keys}
            done = await store.set_page(rows, read_at=store.now())
            adds_up(done, rows)
            same(list(done.newer), [self.keys[0]], f"{low} is lower than {high}, and it is told")
            expected = {**rows, self.keys[0]: self.value(high)}
            same(await found(peer, self.keys), expected, "the others are kept")

    async def test_a_higher_version_replaces_a_lower_one_however_early_it_was_read(
        self, store: Any, peer: Any
    ) -> None:
        for low, high in _NEXT:
            read_at = store.now()
            await peer.set_many({key: self.value(low) for key in self.keys})
            rows = {key: self.value(high) for key in self.keys}
            done = await store.set_page(rows, read_at=read_at)
            same(done.kept, len(rows), f"{high} is higher than {low}, so it is later")
            same(await found(peer, self.keys), rows, "every process finds them")

    async def test_a_version_is_written_again_and_ages_from_its_last_read(
        self, store: Any, peer: Any
    ) -> None:
        rows = {key: self.value(3) for key in self.keys}
        await peer.set_many(rows)
        done = await store.set_page(rows, read_at=store.now() - 2.0, ttl=_LONG)
        same(done.kept, len(rows), "the same version is no later one")
        least = min(copy.age for copy in (await peer.get_many(self.keys)).values())
        holds(f"a copy read 2 s ago is not {least} s old", kept=least >= 2.0 - self.resolution)

    async def test_removals_and_clears_win_over_every_version_that_was_read_before(
        self, store: Any, peer: Any
    ) -> None:
        rows = {key: self.value(9) for key in self.keys}
        read_at = store.now()
        await peer.set_many({self.keys[0]: self.value(1)})
        await peer.delete_many((self.keys[0],))
        done = await store.set_page(rows, read_at=read_at)
        same(list(done.newer), [self.keys[0]], "a removal has no version")
        await peer.clear()
        done = await store.set_page(rows, read_at=read_at)
        same((done.kept, set(done.newer)), (0, set(rows)), "nor has a clear")
        same(await found(peer, self.keys), {}, "the rows do not come back")

    async def test_a_put_replaces_every_version(self, store: Any, peer: Any) -> None:
        await store.set_page({self.keys[0]: self.value(9)}, read_at=store.now())
        await peer.set_many({self.keys[0]: self.value(1)})
        same(await found(store, self.keys[:1]), {self.keys[0]: self.value(1)}, "it needs no permission")

    async def test_of_pages_at_the_same_time_the_highest_version_stays(self, store: Any, peer: Any) -> None:
        pages = [
            partial(each.set_page, dict.fromkeys(self.keys, self.value(version)), read_at=each.now())
            for version in (5, 2, 8, 1, 9, 3)
            for each in (store, peer)
        ]
        for done in await together(*pages):
            adds_up(done, dict.fromkeys(self.keys))
        same(await found(store, self.keys), dict.fromkeys(self.keys, self.value(9)), "whatever their order")

    async def test_a_value_without_a_version_is_rejected_and_spoils_no_other(self, store: Any) -> None:
        first, *others = self.keys
        for bad in self.refused:
            rows = {first: bad, **{key: self.value(1) for key in others}}
            done = await store.set_page(rows, read_at=store.now())
            adds_up(done, rows)
            same(list(done.rejected), [first], "what has no version cannot be compared")
            same(set(await found(store, self.keys)), set(others), "the others are kept")
