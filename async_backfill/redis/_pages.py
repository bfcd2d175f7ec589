"""Write pages of rows to Redis where nothing is that is later than their read, by a script for many keys."""

from __future__ import annotations

import hashlib
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from async_backfill._common.validation import positive_seconds
from async_backfill._envelopes.envelope import Sealed
from async_backfill.errors import ConfigurationError, StalePageError
from async_backfill.redis._marks import LIFE, MARGIN, MARKS_LIVE, time_of, tombstone
from async_backfill.redis._page_scripts import UNDO, WRITE
from async_backfill.redis._wire import milliseconds
from async_backfill.redis.errors import RedisReplyError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from async_backfill.contracts import Seconds
    from async_backfill.redis._entries import Entries
    from async_backfill.redis._marks import Met
    from async_backfill.redis._wire import Argument, Command, Reply
    from async_backfill.redis.connection import RedisConnection

LONGEST: Final = MARKS_LIVE - 3 * MARGIN
"""The longest deadline in seconds: a mark must outlive every page that was read before it, on any clock."""

_APART: Final = MARGIN / 2  # two clocks, each so far from that of the server, are within the margin
_BETWEEN_LOOKS: Final = 60.0
_OLD, _FUTURE = -1, -2
_TOO_OLD: Final = "the read of a page {}; it is taken for {:.1f} s after that began: read it again"


class Pages:
    """Writes pages over ``connection``; see `WRITE`.

    :param met: the marks that this process has met.
    :param deadline: the seconds after the begin of its read for which a page is taken.
    :param now: the clock of this process, in seconds since the epoch.
    """

    def __init__(
        self,
        connection: RedisConnection,
        entries: Entries,
        met: Met,
        *,
        deadline: Seconds,
        now: Callable[[], float],
    ) -> None:
        self._connection = connection
        self._entries = entries
        self._met = met
        self.deadline = positive_seconds("deadline", deadline)
        if self.deadline > LONGEST:
            raise ConfigurationError("deadline", f"must be at most {LONGEST} s, not {deadline!r}")
        self._now = now
        self._looked_at: float | None = None

    async def write(
        self, names: Sequence[bytes], sealed: Sequence[bytes], since: Sequence[float], ttl: float | None
    ) -> tuple[list[int], list[int]]:
        """Write those of ``sealed`` that nothing later contradicts; return the places of the others.

        First those of what is later, then those of leases.

        :param since: when the read of each began; that of the page is the earliest of them.
        :raises StalePageError: when the read began too long ago.
        :raises ConfigurationError: when the clock of this process is too far from the server's.
        """
        read_at = min(since)
        most = self.deadline if ttl is None else min(self.deadline, ttl)
        await self._compare_clocks(names[0])
        self._require_young(read_at, most)
        stamp = self._met.before(self._entries.cleared, read_at)
        groups = await self._entries.groups(names)
        together = (await self._connection.facts()).slots is None
        msetex = (await self._connection.facts()).msetex
        left_to_live = None if ttl is None else milliseconds(max(0.001, ttl - (self._now() - read_at)))
        settings: list[Argument] = [read_at, most + _APART, _APART, MARGIN]
        settings += ["" if left_to_live is None else left_to_live, int(msetex), stamp if together else b"-"]
        calls = [self._call(group, names, sealed, since, settings, together=together) for group in groups]
        answers = await self._run(calls, [names[group[0]] for group in groups])
        newer, leased = self._sort(groups, answers)
        if any(answer in {_OLD, _FUTURE} for answer in answers if isinstance(answer, int)):
            await self._refuse(names[0], read_at, most)
        if not together:
            newer += await self._undo_if_cleared(names, sealed, {*newer, *leased}, read_at)
        return newer, leased

    def _call(
        self,
        group: Sequence[int],
        names: Sequence[bytes],
        sealed: Sequence[bytes],
        since: Sequence[float],
        settings: Sequence[Argument],
        *,
        together: bool,
    ) -> Command:
        """Return the arguments of the script for the places in ``group``, but for the script."""
        keys = [names[place] for place in group]
        known: list[Argument] = []
        if self._met:
            for number, place in enumerate(group, 1):
                if mark := self._met.before(names[place], since[place]):
                    known += [number, mark]
        if together:
            keys.append(self._entries.cleared)
        return [len(keys), *keys, *settings, *[sealed[place] for place in group], *known]

    async def _run(self, calls: Sequence[Command], keys: Sequence[bytes]) -> list[Reply]:
        """Make all ``calls`` of the script in one round trip; one that a server does not know is sent."""
        answers = await self._connection.pipeline([("EVALSHA", _DIGEST, *call) for call in calls], keys=keys)
        unknown = [at for at, answer in enumerate(answers) if _code(answer) == "NOSCRIPT"]
        if unknown:
            again = await self._connection.pipeline(
                [("EVAL", WRITE, *calls[at]) for at in unknown], keys=[keys[at] for at in unknown]
            )
            for at, answer in zip(unknown, again, strict=True):
                answers[at] = answer
        for answer in answers:
            if isinstance(answer, RedisReplyError):
                raise answer
        return answers

    def _sort(self, groups: Sequence[Sequence[int]], answers: Sequence[Reply]) -> tuple[list[int], list[int]]:
        newer: list[int] = []
        leased: list[int] = []
        for group, answer in zip(groups, answers, strict=True):
            if isinstance(answer, bytes):  # the stamp of a clear
                self._met.note([(self._entries.cleared, answer)], self._now())
                newer += group
            elif isinstance(answer, list):
                newer += [group[place - 1] for place in answer if place > 0]
                leased += [group[-place - 1] for place in answer if place < 0]
        return newer, leased

    async def _undo_if_cleared(
        self, names: Sequence[bytes], sealed: Sequence[bytes], left: set[int], read_at: float
    ) -> list[int]:
        """Take back what was written, if the cluster was cleared after ``read_at``: it is in another slot."""
        cleared = self._entries.cleared
        mark: Reply = await self._connection.execute("GET", cleared, key=cleared)
        known = self._met.before(cleared, read_at)
        if not isinstance(mark, bytes) or mark == known or time_of(mark) < read_at - MARGIN:
            return []
        places = [place for place in range(len(names)) if place not in left]
        calls = [("EVAL", UNDO, 1, names[at], tombstone(self._now()), LIFE, sealed[at]) for at in places]
        for answer in await self._connection.pipeline(calls, keys=[names[at] for at in places]):
            if isinstance(answer, RedisReplyError):
                raise answer
        self._met.note([(cleared, mark)], self._now())
        return places

    def _require_young(self, read_at: float, most: float) -> None:
        age = self._now() - read_at
        if age > most:
            raise StalePageError(_TOO_OLD.format(f"began {age:.1f} s ago", most))

    async def _refuse(self, name: bytes, read_at: float, most: float) -> None:
        """Raise why the server has refused a page that was young when it was sent."""
        self._looked_at = None
        await self._compare_clocks(name)
        self._require_young(read_at, most)
        raise StalePageError(_TOO_OLD.format("was over when the page reached the server", most))

    async def _compare_clocks(self, name: bytes) -> None:
        """Look at the server's clock, once a minute; see `write`."""
        if self._looked_at is not None and monotonic() - self._looked_at < _BETWEEN_LOOKS:
            return
        before = self._now()
        seconds, micros = await self._connection.execute("TIME", key=name)
        server = int(seconds) + int(micros) / 1e6
        ahead, behind = before - server, server - self._now()
        if max(ahead, behind) > _APART:
            how = "ahead of" if ahead > behind else "behind"
            raise ConfigurationError(
                "wall_clock",
                f"is {max(ahead, behind):.1f} s {how} the server's clock; more than {_APART} s apart "
                "no page is written, because it could undo a later change: synchronise both clocks (NTP)",
            )
        self._looked_at = monotonic()


_DIGEST: Final = hashlib.sha1(WRITE.encode(), usedforsecurity=False).hexdigest()


def begin_of(value: object, read_at: float) -> float:
    """Return when the read of ``value`` began: what was sealed earlier knows its own time."""
    return value.read_at if isinstance(value, Sealed) and value.read_at is not None else read_at


def _code(answer: Any) -> str:
    return answer.code if isinstance(answer, RedisReplyError) else ""
