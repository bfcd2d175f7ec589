"""Give leases back: release them in the background, and again if that fails."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, Generic

from anyio import sleep

from async_backfill._far.changes import LARGEST_CALL, Change
from async_backfill.contracts import K, V
from async_backfill.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from async_backfill._far.changes import PendingChanges
    from async_backfill._far.guarded_calls import GuardedCalls
    from async_backfill.contracts import Leases, Spawn

_TRIES: Final = 6
_FIRST_PAUSE: Final = 0.25
_LONGEST_PAUSE: Final = 2.0


class _Owed:
    """How many releases of a lease are still needed, and how many tries are left."""

    __slots__ = ("needed", "tries")

    def __init__(self, needed: int) -> None:
        self.needed = needed
        self.tries = _TRIES


class Releases(Generic[K, V]):
    """Releases ``leases`` that nobody will end otherwise, each in 6 tries within 6 s at the most.

    What could not be released then, or found no room, is counted in ``calls.unreleased``; such a lease
    ends by itself.

    :param most: the largest number of leases that wait to be released.
    :param spawn: starts a task that the cache owns.
    """

    def __init__(self, leases: Leases[K, V] | None, calls: GuardedCalls, *, most: int, spawn: Spawn) -> None:
        self._leases = leases
        self._calls = calls
        self._most = most
        self._spawn = spawn
        self._owed: dict[tuple[K, bytes], _Owed] = {}
        self._is_working = False
        self._is_closed = False

    def add(self, tokens: Mapping[K, bytes], *, is_unsure: bool = False) -> None:
        """Release ``tokens`` soon.

        :param is_unsure: whether the call that leases them may still arrive, after the release: then they are
            released once more a little later.
        """
        for item in tokens.items():
            if len(self._owed) >= self._most:
                self._calls.unreleased += 1
            else:
                self._owed[item] = _Owed(2 if is_unsure else 1)
        if self._owed and not self._is_working and not self._is_closed:
            self._is_working = True
            self._spawn(self._work)

    def drop(self, pending: PendingChanges[K, V]) -> None:
        """Release the leases that ``pending`` changes, which are not written, would have ended."""
        self.add({key: item.token for key, item in pending.items() if item.change is Change.LEASED})

    async def close(self) -> None:
        """Release all that is left, in one last try."""
        self._is_closed = True
        for owed in self._owed.values():
            owed.needed = owed.tries = 1
        await self._try_each()

    async def _work(self) -> None:
        pause = _FIRST_PAUSE
        try:
            while self._owed:
                pause = _FIRST_PAUSE if await self._try_each() else min(2.0 * pause, _LONGEST_PAUSE)
                if self._owed:
                    await sleep(pause)
        finally:
            self._is_working = False

    async def _try_each(self) -> bool:
        """Release each lease once; return whether no call failed."""
        left = list(self._owed)
        all_well = True
        while left:
            tokens: dict[K, bytes] = {}
            for key, token in islice(left, LARGEST_CALL):
                tokens.setdefault(key, token)
            left = [item for item in left if tokens.get(item[0]) != item[1]]
            all_well = await self._release(tokens) and all_well
        return all_well

    async def _release(self, tokens: Mapping[K, bytes]) -> bool:
        leases = self._leases
        if leases is None:
            return True
        try:
            await self._calls.call("release", lambda: leases.release_many(tokens))
        except StoreError:
            is_released = False
        else:
            is_released = True
        for item in tokens.items():
            owed = self._owed.get(item)
            if owed is None:
                continue
            owed.needed -= is_released
            owed.tries -= 1
            if not owed.needed or not owed.tries:
                del self._owed[item]
                self._calls.unreleased += not is_released
        return is_released
