"""Acquire leases of the far tier (L2), and give back what a call that failed may have leased."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Generic

from anyio import Event

from async_backfill.contracts import K, V
from async_backfill.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from async_backfill._far.guarded_calls import GuardedCalls
    from async_backfill._far.releases import Releases
    from async_backfill.contracts import Leases

_TOKEN: Final = 16


@dataclass(slots=True)
class Acquired(Generic[K]):
    """The tokens of the leases that were acquired, and of those that others have."""

    mine: dict[K, bytes] = field(default_factory=dict)
    others: dict[K, bytes] = field(default_factory=dict)


class Leasing(Generic[K, V]):
    """Acquires ``leases`` through ``calls``.

    The token is made before the call: so it can be given back whether the call was cancelled, came too
    late, or lost its answer.
    """

    def __init__(self, leases: Leases[K, V], calls: GuardedCalls, releases: Releases[K, V]) -> None:
        self._leases = leases
        self._calls = calls
        self._releases = releases
        self._under_way = 0
        self._quiet: Event | None = None

    async def acquire(self, keys: Sequence[K], outdated: Collection[K]) -> Acquired[K] | None:
        """Lease those of ``keys`` that are free; return ``None`` when the call failed."""
        acquired: Acquired[K] = Acquired()
        if not keys:
            return acquired
        token = secrets.token_bytes(_TOKEN)
        sent, answered = False, False

        async def send() -> Mapping[K, bytes]:
            nonlocal sent
            sent = True
            return await self._leases.acquire_many(keys, token, outdated=outdated)

        self._under_way += 1
        try:
            tokens = await self._calls.call("lease", send)
            answered = True
        except StoreError:
            return None
        finally:
            self._under_way -= 1
            if sent and not answered:
                self._releases.add(dict.fromkeys(keys, token), is_unsure=True)
            if not self._under_way and self._quiet is not None:
                self._quiet.set()
        for key, held in tokens.items():
            (acquired.mine if held == token else acquired.others)[key] = held
        return acquired

    def give_back(self, acquired: Acquired[K] | None) -> None:
        """Release the leases that were acquired for a load that nobody waits for any more."""
        if acquired is not None and acquired.mine:
            self._releases.add(acquired.mine)

    async def quiet(self) -> None:
        """Wait until no call is under way."""
        while self._under_way:
            self._quiet = Event()
            await self._quiet.wait()
