"""Changes of very many keys: made in groups, between which other tasks run and may change the same keys."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from anyio import CancelScope, get_cancelled_exc_class
from anyio.lowlevel import checkpoint

from async_backfill.contracts import K

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_T = TypeVar("_T")
GROUP: Final = 1000
"""Keys changed in one step: one to five milliseconds."""


class LongChange(Generic[K]):
    """A change of which a part is still to be made.

    ``later``
        the keys that others have changed here since it began: their changes are later, and stay.
    ``elsewhere``, ``all_elsewhere``
        the keys, or whether it was all, that another process has changed since: they are not held here.
    ``is_over``
        whether everything was removed since.
    """

    __slots__ = ("all_elsewhere", "elsewhere", "is_over", "later")

    def __init__(self) -> None:
        self.later: set[K] = set()
        self.elsewhere: set[K] = set()
        self.all_elsewhere = self.is_over = False

    def left(self, keys: Iterable[K]) -> list[K]:
        """Return those of ``keys``, each once, that nobody has changed here since."""
        return [key for key in dict.fromkeys(keys) if key not in self.later]

    def is_elsewhere(self, key: K) -> bool:
        """Return whether another process has changed ``key`` since."""
        return self.all_elsewhere or key in self.elsewhere


class LongChanges(Generic[K]):
    """The long changes ``under_way``, in the order in which they began."""

    def __init__(self) -> None:
        self.under_way: dict[LongChange[K], None] = {}

    def changed(self, keys: Iterable[K], by: LongChange[K] | None = None) -> None:
        """Take note that ``keys`` are changed now, ``by`` a long change, or by what is later than all."""
        for change in self.under_way:
            if change is by:
                break
            change.later.update(keys)

    def heard(self, keys: Sequence[K] | None) -> None:
        """Take note that another process has changed ``keys``; ``None`` means all."""
        for change in self.under_way:
            if keys is None:
                change.all_elsewhere = True
            else:
                change.elsewhere.update(keys)

    def cleared(self) -> None:
        """Take note that everything is removed now."""
        for change in self.under_way:
            change.is_over = True

    async def make(self, items: Iterable[_T], step: Callable[[Sequence[_T], LongChange[K]], None]) -> None:
        """Call ``step`` with one group of ``items`` after another; other tasks get a turn in between.

        It comes to its end although the caller is cancelled, so that nothing is left half done.
        """
        change: LongChange[K] = LongChange()
        self.under_way[change] = None
        cancelled: BaseException | None = None
        rest = iter(items)
        try:
            while not change.is_over and (group := tuple(islice(rest, GROUP))):
                step(group, change)
                if cancelled is None:
                    try:
                        with CancelScope(shield=True):
                            await checkpoint()
                    except get_cancelled_exc_class() as error:  # asyncio's own gets through a shield
                        cancelled = error
        finally:
            del self.under_way[change]
        if cancelled is not None:
            raise cancelled
