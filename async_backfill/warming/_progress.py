"""What became of the rows of a copy, while it runs, at its end, and when it stops."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Generic

from async_backfill.contracts import K, K_co
from async_backfill.errors import AsyncBackfillError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from async_backfill.contracts import Kept

_MOST_SHOWN: Final = 100
_MOST_LEASED: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyProgress(Generic[K_co]):
    """What became of each row: ``read`` is the sum of the five counts below it, at any moment.

    ``read``
        rows that the copy has dealt with.
    ``kept``
        rows that the store has kept.
    ``newer``
        rows left alone because the key was changed or removed after the page's read began.
    ``leased``
        rows left alone because a process was loading the key, and had not written it when the copy ended.
    ``rejected``
        rows that the store cannot keep, such as too large ones.
    ``dead``
        rows that could not be written, or read again, although others could.
    ``bad``
        why, for the first hundred of the rejected and dead rows.
    ``pages``
        pages that were dealt with.
    ``through``
        what to resume after, the last key of a page or the cursor of a `RowPage`: all rows up to it, in the
        order of the pages, are in these counts. ``None`` when not even those of the first page are, and when
        rows were lost. Later rows may be counted as well.
    ``sampled``, ``lost``
        at the end: how many of the kept rows were looked for in the store, and how many were not there.
    """

    read: int = 0
    kept: int = 0
    newer: int = 0
    leased: int = 0
    rejected: int = 0
    dead: int = 0
    bad: Mapping[K_co, str] = field(default_factory=dict)
    pages: int = 0
    through: object = None
    sampled: int = 0
    lost: int = 0

    @property
    def rows(self) -> int:
        """The number of rows that the store has kept."""
        return self.kept


class CopyError(AsyncBackfillError):
    """A copy stopped before its end, or its rows were lost; ``copied`` says how far it came.

    The exception of the source or the store is the ``__cause__``. Some rows of the page that failed may be
    in the store.
    """

    def __init__(self, message: str, *, copied: CopyProgress[object]) -> None:
        super().__init__(message)
        self.copied = copied


class Tally(Generic[K]):
    """Counts what became of the rows, and through which page there is no gap; see decision 44 in notes.md.

    :param most_shown: of how many rejected and dead rows it is said why.
    """

    def __init__(self, most_shown: int = _MOST_SHOWN) -> None:
        self._most_shown = most_shown
        self.read = self.kept = self.newer = self.leased = self.rejected = self.dead = self.pages = 0
        self.sampled = self.lost = 0
        self._leased_at: dict[K, float] = {}
        self._bad: dict[K, str] = {}
        self._through: object = None
        self._finished: dict[int, object] = {}
        self._unbroken = 0

    def add(self, kept: Kept[K], read_at: float) -> None:
        """Count the store's answer to some rows whose read began at ``read_at``."""
        self.kept += kept.kept
        self.newer += len(kept.newer)
        self.leased += len(kept.leased)
        self.rejected += len(kept.rejected)
        self.read += kept.kept + len(kept.newer) + len(kept.leased) + len(kept.rejected)
        if kept.leased:
            room = max(0, _MOST_LEASED - len(self._leased_at))
            self._leased_at.update(dict.fromkeys(kept.leased[:room], read_at))
        if kept.rejected:
            self._show(kept.rejected)

    def add_later(self, keys: Collection[K]) -> None:
        """Count rows that were changed or removed after their page was read."""
        self.newer += len(keys)
        self.read += len(keys)

    def add_dead(self, why: Mapping[K, str]) -> None:
        """Count rows that could not be written."""
        self.dead += len(why)
        self.read += len(why)
        self._show(why)

    def add_leased(self, read_at: Mapping[K, float]) -> None:
        """Count rows that were leased, each with the time when its read began."""
        self.leased += len(read_at)
        self.read += len(read_at)
        self._leased_at.update(read_at)

    def take_leased(self) -> dict[K, float]:
        """Forget and return keys that were leased, each with the time when its read began."""
        taken, self._leased_at = self._leased_at, {}
        return taken

    def take_back_leased(self, count: int) -> None:
        """Take ``count`` rows that were leased out of the counts, before they are counted anew."""
        self.leased -= count
        self.read -= count

    def finish(self, number: int, end: object) -> None:
        """Note that all rows of the page with this ``number``, which ends at ``end``, are counted."""
        self.pages += 1
        self._finished[number] = end
        while self._unbroken in self._finished:
            self._through = self._finished.pop(self._unbroken)
            self._unbroken += 1

    def lose(self, sampled: int, lost: int, *, resumable: bool) -> None:
        """Note that ``lost`` of ``sampled`` rows are not in the store any more."""
        self.sampled, self.lost = sampled, lost
        if not resumable:
            self._through = None

    def progress(self) -> CopyProgress[K]:
        """Return the counts as they are now."""
        return CopyProgress(
            read=self.read,
            kept=self.kept,
            newer=self.newer,
            leased=self.leased,
            rejected=self.rejected,
            dead=self.dead,
            bad=dict(self._bad),
            pages=self.pages,
            through=self._through,
            sampled=self.sampled,
            lost=self.lost,
        )

    def _show(self, why: Mapping[K, str]) -> None:
        for key, reason in why.items():
            if len(self._bad) >= self._most_shown:
                break
            self._bad[key] = reason
