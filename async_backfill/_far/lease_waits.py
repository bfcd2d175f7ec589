"""Wait for keys that other processes load, outside the places of the source calls."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic

from anyio import CancelScope, current_time, sleep_until

from async_backfill._common.error_text import error_line
from async_backfill._far.claims import Claim
from async_backfill._far.leasing import Acquired
from async_backfill._far.stale_copies import StaleCopies
from async_backfill._loading.load_traces import in_trace
from async_backfill.contracts import K, V
from async_backfill.errors import StoreError
from async_backfill.outcomes import Absent, Failed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from async_backfill._far.guarded_calls import GuardedCalls
    from async_backfill._far.leasing import Leasing
    from async_backfill._far.reads import FarReads, Look
    from async_backfill._loading.batch import Batch
    from async_backfill._loading.parts import BatchParts
    from async_backfill.contracts import Leases, Spawn

_EAGER_LOOKS: Final = 2
_BETWEEN_LOOKS: Final = 0.05
_UNKNOWN: Final = 1.0
_SHORTEST: Final = 0.1
_LONGEST: Final = 3.0
_MULTIPLE: Final = 3.0
_SHARE: Final = 0.2


class UsualTime:
    """How long the loads of this process usually take, and so how long to wait for one of another process.

    :param fixed: the wait in seconds, whatever loads take; ``None`` for 3 times as long as they usually take,
        from 0.1 to 3.0 s, or 1.0 s before the first one.
    :param most: the longest wait in seconds; ``None`` for no limit.
    """

    def __init__(self, fixed: float | None, most: float | None) -> None:
        self._fixed = fixed
        self._most = most
        self._seconds: float | None = None

    def took(self, seconds: float) -> None:
        """Record that a load took ``seconds``."""
        usual = self._seconds
        self._seconds = seconds if usual is None else usual + _SHARE * (seconds - usual)

    @property
    def longest(self) -> float:
        """The seconds to wait when the load that was waited for has been taken over by another process."""
        return 2.0 * self.wait if self._most is None else min(2.0 * self.wait, self._most)

    @property
    def wait(self) -> float:
        """The seconds to wait for the load of another process."""
        if self._fixed is not None:
            wait = self._fixed
        elif self._seconds is None:
            wait = _UNKNOWN
        else:
            wait = min(max(_SHORTEST, _MULTIPLE * self._seconds), _LONGEST)
        return wait if self._most is None else min(wait, self._most)


class LeaseWaits(Generic[K, V]):
    """Waits for parts of batches whose keys other processes load.

    Each wait is a task of its own, which holds no place of a source call. It ends for each key when the
    value is in the far tier, when its holder tells that it is absent or that the load failed, when the lease
    is free, or after ``usual.wait`` seconds. In the last two cases the key is queued for the source; after
    such a wait the lease is taken over, and the first of the two to end writes the value. A lease is taken
    over once: the others wait as long again for who did so, then they load the key too, under its token.

    :param leases: the leases of the far tier.
    :param claims: what the batches that ask the source have of the far tier.
    """

    def __init__(
        self,
        leases: Leases[K, V],
        parts: BatchParts[K, V],
        claims: dict[Batch[K, V], Claim[K]],
        *,
        reads: FarReads[K, V],
        leasing: Leasing[K, V],
        calls: GuardedCalls,
        usual: UsualTime,
        spawn: Spawn,
    ) -> None:
        self._leases = leases
        self._parts = parts
        self._claims = claims
        self._reads = reads
        self._leasing = leasing
        self._calls = calls
        self.usual = usual
        self._spawn = spawn

    def start(self, part: Batch[K, V]) -> None:
        """Wait for the keys of ``part`` in a task of its own."""
        run = partial(self._run, _Wait(part, current_time(), self.usual))
        self._spawn(run if part.trace is None else partial(in_trace, part, run))

    async def _run(self, wait: _Wait[K, V]) -> None:
        try:
            with CancelScope() as scope:
                wait.scope = scope
                with self._leases.watch(tuple(wait.part.keys)) as changed:
                    while wait.goes_on:
                        await self._look(wait, changed)
        except Exception as error:  # noqa: BLE001 - whatever the leases raise, nobody waits for ever
            self._calls.failed(StoreError(f"watch: {error_line(error)}"))
            if wait.goes_on:
                self._ask(wait.part, Claim())
                return
        except BaseException:
            self._parts.abandon(wait.part)
            raise
        if not wait.is_over:
            self._parts.ended(wait.part)

    async def _look(self, wait: _Wait[K, V], changed: Callable[[], Awaitable[Mapping[K, Any]]]) -> None:
        """Look for the keys that are awaited, let those go for which it is over, and wait for a change."""
        part, looked = wait.part, current_time()
        part.scope = wait.scope
        keys = tuple(key for key in part.keys if key not in wait.told)
        look = await self._reads.look(keys, part.cause)
        wait.stale.add(look.stale)
        acquired = None if look.failed else await self._leasing.acquire(look.rest, look.outdated)
        late: Collection[K] = set(look.rest) if acquired is None else ()
        if acquired is not None and current_time() >= wait.until and not part.is_landed:
            late = await self._take_over(wait, look, acquired)
        if part.is_landed:
            self._leasing.give_back(acquired)
            return
        self._share_out(wait, look, acquired or Acquired(), late)
        if not wait.goes_on:
            return
        wait.looks += 1
        # `changed` returns when a lease of these keys has ended, or may have. Then value and lease are
        # looked up again, after the first looks at most once in 50 ms: decision 38 in notes.md.
        with CancelScope(deadline=wait.until):
            told = await changed()
            wait.told = {key: told[key] for key in told if key in wait.part.keys}
            if wait.looks > _EAGER_LOOKS and not wait.told:
                await sleep_until(looked + _BETWEEN_LOOKS)

    async def _take_over(self, wait: _Wait[K, V], look: Look[K, V], acquired: Acquired[K]) -> Collection[K]:
        """Take over the leases that were waited for long enough; return the keys to load without one."""
        try:
            again = await self._leasing.take_over(acquired, look.outdated)
        except BaseException:
            self._leasing.give_back(acquired)
            raise
        if wait.until >= wait.limit:
            again = ()
        wait.until = wait.limit
        return set(look.rest).difference(acquired.mine, again)

    def _share_out(
        self, wait: _Wait[K, V], look: Look[K, V], acquired: Acquired[K], late: Collection[K]
    ) -> None:
        """Land what was found or told, and queue what the source must be asked for; the rest waits on.

        :param late: keys that the source is asked for although they are leased by others.
        """
        part, told = wait.part, wait.told
        found = {**look.found, **{key: it for key, it in told.items() if isinstance(it, Failed)}}
        asked = [key for key in look.rest if key in acquired.mine or key in late]
        claim: Claim[K] = Claim(outdated=look.outdated.intersection(asked), stale=wait.stale)
        claim.mine = acquired.mine
        claim.borrowed = {key: acquired.others[key] for key in asked if key in acquired.others}
        has_answers = bool(found or told)
        if not asked and not has_answers:
            return
        rest = [key for key in look.rest if key not in acquired.mine and key not in late]
        wait.part, wait.is_over = part, not rest
        if rest:
            wait.part = self._parts.split(part, rest)
        wait.told = {}
        if not has_answers:
            self._ask(part, claim)
            return
        if asked:
            self._ask(self._parts.split(part, asked), claim)
        part.copies = wait.stale.serve(found, look.copies)
        part.scope = None
        self._parts.land(part, found)

    def _ask(self, part: Batch[K, V], claim: Claim[K]) -> None:
        part.scope = None
        self._claims[part] = claim
        self._parts.go_on(part)


class _Wait(Generic[K, V]):
    """One wait: for the keys of ``part``, ``until`` a time, and then maybe to a ``limit``.

    ``told``
        what the holders of leases told since the last look.
    ``stale``
        the copies that answer where a load fails.
    ``is_over``
        whether each key has its answer or is queued for the source.
    """

    def __init__(self, part: Batch[K, V], now: float, usual: UsualTime) -> None:
        self.part = part
        self.until = now + usual.wait
        self.limit = now + usual.longest
        self.scope: CancelScope | None = None
        self.told: dict[K, Absent | Failed] = {}
        self.stale: StaleCopies[K, V] = StaleCopies()
        self.looks = 0
        self.is_over = False

    @property
    def goes_on(self) -> bool:
        """Whether a key is awaited that nobody has given up."""
        return not (self.is_over or self.part.is_landed)
