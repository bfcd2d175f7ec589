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

_RANDOM: Final = 12
_LAST: Final = 4  # bytes of a token that are zero until its lease is taken over


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
        if keys:
            tokens = await self._lease(keys, secrets.token_bytes(_RANDOM) + bytes(_LAST), outdated, acquired)
            if tokens is None:
                return None
            acquired.others = {key: held for key, held in tokens.items() if key not in acquired.mine}
        return acquired

    async def take_over(self, acquired: Acquired[K], outdated: Collection[K]) -> Collection[K]:
        """Take over those leases of others that can be; return the keys whose lease another took over before.

        It is taken over once: of all who wait for a holder that died, one loads the key.
        """
        first: dict[bytes, list[K]] = {}
        for key, held in acquired.others.items():
            if not any(held[_RANDOM:]):
                first.setdefault(held, []).append(key)
        for held, keys in first.items():
            token = held[:_RANDOM] + (secrets.randbits(8 * _LAST) or 1).to_bytes(_LAST)
            acquired.others.update(await self._lease(keys, token, outdated, acquired) or {})
        for key in acquired.mine:
            acquired.others.pop(key, None)
        return [key for key, held in acquired.others.items() if any(held[_RANDOM:])]

    async def _lease(
        self, keys: Sequence[K], token: bytes, outdated: Collection[K], acquired: Acquired[K]
    ) -> Mapping[K, bytes] | None:
        """Lease ``keys`` under ``token``, note what was leased in ``acquired``, and return all tokens."""
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
        acquired.mine.update((key, held) for key, held in tokens.items() if held == token)
        return tokens

    def give_back(self, acquired: Acquired[K] | None) -> None:
        """Release the leases that were acquired for a load that nobody waits for any more."""
        if acquired is not None and acquired.mine:
            self._releases.add(acquired.mine)

    async def quiet(self) -> None:
        """Wait until no call is under way."""
        while self._under_way:
            self._quiet = Event()
            await self._quiet.wait()
