"""When and how a backfill runs, and what is remembered for it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from async_backfill._common.validation import convert, flag, positive_seconds, real, whole, whole_or_none
from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from async_backfill.contracts import Seconds

SelectionName: TypeAlias = Literal["source", "history"]
SELECTIONS: Final[tuple[SelectionName, ...]] = get_args(SelectionName)

_WITHOUT_CAPACITY: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillPolicy:
    """When and how a backfill runs.

    ``window``
        the number of latest lookups that the miss rate is computed over.
    ``min_lookups``
        lookups that must be in the window before a backfill can start; if it is larger than
        ``window``, no backfill ever starts.
    ``evicts``
        ``True`` lets a backfill evict keys that are in use, which can thrash; by default it loads no
        more keys than there is free room for.
    ``inline``
        ``True`` makes the miss that starts a backfill wait for it; by default it runs in the
        background.
    ``concurrent``
        the largest number of backfills at once.
    ``selection``
        which keys a backfill loads. ``"source"``: the first keys of the source that are not cached.
        ``"history"``: those that the cache held and then the hottest others, batch after batch until the
        hit rate is what it was before. After a restart with a journal and after a ``clear()`` that begins
        with the first miss, and goes on in doubling steps only while what was loaded is read. As long as no
        keys are known to be hot, as with ``"source"``.
    ``successors``
        the largest number of keys that are loaded along with a missed key, in the same source call,
        because they missed right after it the last time; 0 for none. They cost no call, so they need
        no threshold and no permit. The audit log says how many of them were read.
    ``probation``
        whether backfilled keys are kept apart until they are read, and are evicted first. Then receipts
        say how many keys of each backfill were read, and misses are counted by cause: misses of
        evicted, invalidated and absent keys start no backfill. ``None`` means ``True``, unless the
        selection is ``"source"`` without successors.
    """

    window: int = 1000
    min_lookups: int = 3
    evicts: bool = False
    inline: bool = False
    concurrent: int = 1
    selection: SelectionName = "source"
    successors: int = 0
    probation: bool | None = None

    def __post_init__(self) -> None:
        whole("window", self.window, least=1)
        whole("min_lookups", self.min_lookups, least=1)
        flag("evicts", self.evicts)
        flag("inline", self.inline)
        whole("concurrent", self.concurrent, least=1)
        if self.selection not in SELECTIONS:
            names = ", ".join(map(repr, SELECTIONS))
            raise ConfigurationError("selection", f"{self.selection!r} is not one of {names}")
        whole("successors", self.successors, least=0)
        if self.probation is not None:
            flag("probation", self.probation)
        if self.successors and self.probation is False:
            raise ConfigurationError("probation", "must not be False with successors; leave it out")

    @property
    def has_probation(self) -> bool:
        """Whether backfilled keys are kept apart until they are read; ``probation`` resolved."""
        if self.probation is None:
            return self.selection != "source" or self.successors > 0
        return self.probation


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryPolicy:
    """How many hot keys are remembered, and how long.

    ``size``
        the largest number of keys remembered; ``None`` for twice the capacity, or 100,000 without one.
    ``half_life``
        lookups after which a lookup counts half; ``None`` for fifteen times ``size``.
    ``save_every``
        seconds between two writes of the journal: a crash loses what was recorded in that time.
    """

    size: int | None = None
    half_life: float | None = None
    save_every: float = 10.0

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            size: int | None = ...,
            half_life: float | None = ...,
            save_every: Seconds = ...,
        ) -> None: ...

    def __post_init__(self) -> None:
        whole_or_none("size", self.size, least=1)
        if self.half_life is not None:
            real("half_life", self.half_life, least=1.0, most=math.inf)
        convert(self, save_every=positive_seconds)

    def size_for(self, capacity: int | None) -> int:
        """Return the number of keys to remember for a cache of ``capacity``."""
        if self.size is not None:
            return self.size
        return _WITHOUT_CAPACITY if capacity is None else 2 * capacity

    def half_life_for(self, capacity: int | None) -> float:
        """Return the half-life in lookups for a cache of ``capacity``."""
        return 15.0 * self.size_for(capacity) if self.half_life is None else self.half_life
