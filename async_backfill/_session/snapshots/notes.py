"""What changed since the snapshot on disk, and who must not get an old value back because of it."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias

from anyio import Event, Lock, move_on_after, to_thread

from async_backfill._common.error_text import error_line
from async_backfill.contracts import K
from async_backfill.stores._eviction.plain import PlainOrder
from async_backfill.stores._snapshot.format import Entry
from async_backfill.stores._snapshot.keys import CHANGED, CLEARED, EVICTED, LOADED

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from async_backfill.contracts import ResumableOrder
    from async_backfill.stores._snapshot.log import ChangeLog, LogCodec

Later: TypeAlias = tuple[Entry[Any, Any], float]
"""An entry, and the seconds for which it is fresh."""

_WITHIN: Final = 5.0
_MOST_EVICTED: Final = 100_000
_SOME: Final = 100
_MOST: Final = 1_000_000
"""Changes that wait to be written at the most: a disk that is slower than that is as good as broken."""


class Notes(Generic[K]):
    """Appends what is noted to ``logs``: that of the snapshot on disk, and that of one being written.

    ``due``
        is set once there is enough to be written at once, for a fiftieth of what each would cost alone.
    ``marked``
        restored keys whose values were not loaded again since.
    ``later``
        entries that are restored once their turn comes among the keys that were loaded since.
    ``evicted_lately``
        keys that were evicted, oldest first, where the eviction order remembers some of them.
    ``clears``
        how often everything was cleared since the cache was opened.
    ``passed_over``
        keys that changed while a snapshot is being restored; ``None`` at other times.

    :param broken: called with the reason when the logs could not be written, and are given up.
    """

    def __init__(
        self,
        codec: LogCodec[K],
        order: ResumableOrder[K],
        capacity: int | None,
        broken: Callable[[str], None],
    ) -> None:
        most_evicted = 0 if isinstance(order, PlainOrder) else 2 * (capacity or _MOST_EVICTED)
        self.logs: list[ChangeLog] = []
        self.marked: dict[K, None] = {}
        self.later: dict[K, Later] = {}
        self.evicted_lately: deque[K] = deque(maxlen=most_evicted)
        self.passed_over: set[K] | None = None
        self.logged = self.clears = 0
        self._codec = codec
        self._broken = broken
        self._remembers = order.remembers
        self.due = Event()
        self._turn = Lock()
        self._kinds = bytearray()
        self._keys: list[K | None] = []
        self._noted = self._written = 0

    def begin(self) -> None:
        """Take note that the cache is opened, maybe in another event loop, or in a forked process."""
        self.drop_logs()
        self.due, self._turn = Event(), Lock()
        self._kinds, self._keys = bytearray(), []
        self._written = self._noted
        self.passed_over, self.clears = set(), 0
        self.later.clear()

    def go_on_with(self, log: ChangeLog) -> None:
        """Append to ``log`` from now on, first what has changed while it was read."""
        self.logs = [log]
        if self.clears:
            self._note(CLEARED, (None,))
        self._note(CHANGED, tuple(self.passed_over or ()))

    def loaded(self, keys: Collection[K], /) -> None:
        """Take note that the values of ``keys`` were loaded."""
        self._overrule(keys)
        self._note(LOADED, keys)

    def changed(self, keys: Collection[K], /) -> None:
        """Take note that what ``keys`` had is no longer true."""
        self._overrule(keys)
        self._note(CHANGED, keys)

    def evicted(self, keys: Sequence[K], /) -> None:
        """Take note that ``keys`` were evicted."""
        self._note(EVICTED, keys)
        if self.evicted_lately.maxlen:
            self.evicted_lately.extend([key for key in keys if self._remembers(key)])

    def cleared(self) -> None:
        """Take note that no key has a value any more."""
        self.clears += 1
        self.marked.clear()
        self.later.clear()
        self.evicted_lately.clear()
        self._note(CLEARED, (None,))

    async def flush(self) -> None:
        """Return once all that was noted so far is in the logs, or these were given up."""
        last = self._noted
        if self._written >= last:
            return
        async with self._turn:
            if self._written < last:  # else those who had the turn before have written it
                await self._write()

    async def _write(self) -> None:
        kinds, keys, last = bytes(self._kinds), self._keys, self._noted
        self._kinds, self._keys, self.due = bytearray(), [], Event()
        problem: str | None = f"it took longer than {_WITHIN} s"
        try:
            with move_on_after(_WITHIN, shield=True):  # or nobody would hear of a failure
                append = partial(self._append, tuple(self.logs), kinds, keys)
                problem = await to_thread.run_sync(append, abandon_on_cancel=True)
        except BaseException:
            # asyncio cancels a task in a shield too: maybe no thread has begun, and another flush waits for
            # these notes. Where one has, they are in the log twice, and say no more than once.
            self._kinds[:0], self._keys[:0] = kinds, keys
            raise
        self._written = max(self._written, last)
        if problem is not None:
            self.give_up(problem)

    def give_up(self, problem: str) -> None:
        """Note nothing more until there is another snapshot."""
        if self.logs:
            self.drop_logs()
            self._broken(problem)

    def drop_logs(self, but: ChangeLog | None = None) -> None:
        """Append to no log any more, ``but`` to one."""
        for log in self.logs:
            if log is not but:
                log.close()
        self.logs = [] if but is None else [but]
        self.logged = 0

    def _overrule(self, keys: Collection[K]) -> None:
        if self.marked:
            for key in keys:
                self.marked.pop(key, None)
        if self.later:
            for key in keys:
                self.later.pop(key, None)
        if self.passed_over is not None:
            self.passed_over.update(keys)

    def _note(self, kind: int, keys: Collection[K | None]) -> None:
        if not self.logs or not keys:
            return
        self._kinds += bytes((kind,)) * len(keys)
        self._keys += keys
        self.logged += len(keys)
        self._noted += len(keys)
        if len(self._keys) > _MOST:
            self.give_up(f"more than {_MOST} changes wait to be written to it")
        elif len(self._keys) >= _SOME:
            self.due.set()

    def _append(self, logs: Sequence[ChangeLog], kinds: bytes, keys: Sequence[K | None]) -> str | None:
        try:
            for log in logs:
                log.append(self._codec.record(kinds, keys, log.name))
        except Exception as error:  # noqa: BLE001 - of the disk, or of the code of a key
            return error_line(error)
        return None
