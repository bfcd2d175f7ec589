"""Sort the differences between rows and copies by why they are there, and repair them when asked."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, Generic

from anyio import current_time

from async_backfill._common.error_text import error_line
from async_backfill._jobs._calls import copies_of
from async_backfill._jobs._packing import pack_or_text
from async_backfill._jobs._planning.packed import packed
from async_backfill._jobs._rewriting import MOST
from async_backfill._jobs._same import are_same
from async_backfill._jobs._verifying.looks import Looks
from async_backfill._jobs._verifying.result import Verified
from async_backfill.contracts import K, V

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from collections.abc import Set as AbstractSet

    from async_backfill._jobs._ends import JobEnds
    from async_backfill._jobs._rewriting import Rewriting
    from async_backfill._jobs._verifying.looks import Difference
    from async_backfill.contracts import RowPage

_MOST_FINDINGS: Final = 10_000


class Comparison(Generic[K, V]):
    """The comparison of some or all rows of a job with the store.

    :param dead: the packed keys of rows that the job left out.
    :param expires_from: the time of the event loop at which the first values may reach the end of their ttl.
    :param rewriting: repairs what is found; ``None`` to leave it.
    :param apart: seconds between the two looks at a difference.
    """

    def __init__(
        self,
        ends: JobEnds[K, V],
        *,
        dead: AbstractSet[bytes],
        expires_from: float,
        rewriting: Rewriting[K, V] | None,
        apart: float,
        seconds: float,
    ) -> None:
        self._ends = ends
        self._dead = dead
        self._expires_from = expires_from
        self._rewriting = rewriting
        self._seconds = seconds
        self._looks: Looks[K, V] = Looks(ends, apart=apart, seconds=seconds)
        self._counts: Counter[str] = Counter()
        self._right: Counter[str] = Counter()  # those that were repaired, by kind
        self._found: dict[K, str] = {}

    @property
    def compared(self) -> int:
        """The number of rows so far, without those behind what the job has read."""
        return self._counts["compared"] - self._counts["new"]

    @property
    def missing(self) -> int:
        """The number of rows so far that the store does not have, for no reason that is known."""
        return self._counts["missing"]

    async def add(self, page: RowPage[K, V], *, is_new: bool = False) -> None:
        """Compare the rows of ``page``; at most a few thousand differences wait for their second look.

        :param is_new: whether it lies behind what the job has read.
        :raises JobError: when an end does not answer.
        """
        rows = len(page) + len(page.failed)
        self._counts["compared"] += rows
        self._counts["new"] += rows if is_new else 0
        for key, failed in page.failed.items():
            if pack_or_text(key) in self._dead:
                self._counts["dead"] += 1
            else:
                self._looks.unread[key] = error_line(failed.error)
        await self._looks.first(page, is_new=is_new)
        await self._sort(await self._looks.confirmed())

    async def finish(self) -> None:
        """Look again at all that waits for it."""
        while self._looks:
            await self._sort(await self._looks.confirmed(to_the_end=True))

    def explain(self, inserted: int) -> None:
        """Count the missing rows as inserted ones when there are no more of them than of these."""
        if 0 < self._counts["missing"] <= inserted:
            self._counts["inserted"] += self._counts.pop("missing")
            del self._right["missing"]
            self._found = {key: kind for key, kind in self._found.items() if kind != "missing"}

    def findings(self) -> Sequence[tuple[bytes, str]]:
        """Return the packed keys of differences that are there now, with their kinds: the first 10,000."""
        return [(pack_or_text(key), kind) for key, kind in self._found.items()]

    def result(self, *, is_all: bool, extra: int | None = None, stopped: str | None = None) -> Verified:
        """Return what was found so far."""
        counts = self._counts
        kinds = ("compared", "wrong", "missing", "inserted", "expired", "rejected", "dead")
        return Verified(
            is_all=is_all,
            extra=extra,
            unread=len(self._looks.unread),
            changing=self._looks.changing,
            repaired=sum(self._right[kind] for kind in ("wrong", "missing", "extra")),
            stopped=stopped,
            **{kind: counts[kind] for kind in kinds},
        )

    def add_extra(self, keys: Collection[K], *, repaired: bool) -> None:
        """Note keys of the store that have no row."""
        if repaired:
            self._right["extra"] += len(keys)
        else:
            self._note(keys, "extra")

    async def _sort(self, sure: Sequence[Difference[K, V]]) -> None:
        if not sure:
            return
        lacking = {one.key: one.row for one in sure if one.copy is None}
        rejected = set(packed(self._ends.store, lacking).refused)
        by_kind: dict[str, list[Difference[K, V]]] = {}
        for one in sure:
            by_kind.setdefault(self._kind(one, rejected), []).append(one)
        for kind, some in by_kind.items():
            self._counts[kind] += len(some)
            if kind in {"wrong", "missing", "inserted"}:
                right = await self._repaired([one.key for one in some])
                self._right[kind] += len(right)
                if kind != "inserted":
                    self._note([one.key for one in some if one.key not in right], kind)

    def _kind(self, one: Difference[K, V], rejected: Collection[K]) -> str:
        if one.copy is not None:
            return "wrong"
        if pack_or_text(one.key) in self._dead:
            return "dead"
        if one.key in rejected:
            return "rejected"
        if one.is_new:
            return "inserted"
        return "expired" if current_time() >= self._expires_from else "missing"

    def _note(self, keys: Collection[K], kind: str) -> None:
        for key in keys:
            if len(self._found) < _MOST_FINDINGS:
                self._found[key] = kind

    async def _repaired(self, keys: Sequence[K]) -> Collection[K]:
        """Write the rows of ``keys`` again, and return those that are right then, or gone."""
        if self._rewriting is None:
            return ()
        right: set[K] = set()
        for begin in range(0, len(keys), MOST):
            part = keys[begin : begin + MOST]
            rewritten = await self._rewriting.rewrite(part)
            right.update(rewritten.gone)
            found = await copies_of(self._ends.store, part, self._seconds)
            rows = rewritten.rows
            right.update(key for key in found if key in rows and are_same(rows[key], found[key].value))
        return right
