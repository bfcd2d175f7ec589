"""Restore a snapshot in short steps, behind live traffic: what fits, has not expired and has not changed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Final, Generic

from anyio import sleep, to_thread

from async_backfill._common.error_text import error_line
from async_backfill._common.provenance import age, duration, misfit
from async_backfill._session.snapshots.holdings import Holdings, steps
from async_backfill.contracts import K, V
from async_backfill.outcomes import ABSENT
from async_backfill.records import RestoreState
from async_backfill.stores._snapshot.log import ChangeLog

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from async_backfill._session.snapshots.notes import Notes
    from async_backfill.records import Provenance
    from async_backfill.stores._snapshot.files import SnapshotFiles
    from async_backfill.stores._snapshot.format import Entry, Facts, Found, SnapshotCodec
    from async_backfill.stores._snapshot.log import Changes
    from async_backfill.stores.snapshot_file import SnapshotFile

    Confirm = Callable[[Sequence[K]], Awaitable[Mapping[K, tuple[V, float]] | None]]

_AHEAD: Final = 60.0
"""Seconds that the clock of the writer may have been ahead of this one."""
_FRAMES_A_QUESTION: Final = 8
_TRIES: Final = 5
_PAUSE: Final = 1.0
_NO_ANSWER: Final = "the far tier (L2) did not say which of its values are still true"
_CLEARED: Final = "the cache was cleared meanwhile"


@dataclass(slots=True)
class Progress:
    """How far the restoring has got; see `SnapshotStats`."""

    state: RestoreState = RestoreState.NONE
    reason: str = ""
    entries: int = 0
    restored: int = 0
    left_out: int = 0

    def stop(self, reason: str) -> None:
        """Take note that no more is restored, and why."""
        self.state, self.reason = RestoreState.STOPPED, reason
        self.left_out = self.entries - self.restored


class Restoring(Generic[K, V]):
    """Restores the snapshot in ``files`` once.

    :param reader: returns whose snapshot would fit.
    :param confirm: asks the far tier (L2) for keys; returns the values that it holds, each with the seconds
        for which it is fresh, or ``None`` when it did not answer. ``None`` without a far tier.
    :param told: called when there is progress.
    """

    def __init__(  # noqa: PLR0913 - each is a part of its own; the cache puts them together once
        self,
        setting: SnapshotFile[K, V],
        files: SnapshotFiles[K, V],
        codec: SnapshotCodec[K, V],
        holdings: Holdings[K, V],
        notes: Notes[K],
        progress: Progress,
        *,
        reader: Callable[[], Provenance],
        confirm: Confirm[K, V] | None,
        told: Callable[[], None],
    ) -> None:
        self._setting = setting
        self._files = files
        self._codec = codec
        self._holdings = holdings
        self._notes = notes
        self._progress = progress
        self._reader = reader
        self._confirm = confirm
        self._told = told
        self.to_load: dict[K, None] = {}
        self._unserved: list[K] = []
        self._loaded: Mapping[K, None] = {}

    async def run(self, pause: Callable[[], float], *, is_blank: bool) -> None:
        """Restore it; `to_load` has the keys to load after that, the last one last.

        :param pause: returns the seconds between two steps.
        :param is_blank: whether the cache held nothing when it was opened; else its own values are newer.
        """
        try:
            found, changes = await to_thread.run_sync(self._files.read, abandon_on_cancel=True)
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            await self._refuse(str(error))
            return
        if (reason := self._misfit(found.facts)) is not None:
            await self._refuse(reason)
            return
        progress = self._progress
        progress.state, progress.entries = RestoreState.RESTORING, found.facts.entries
        try:
            if await to_thread.run_sync(self._files.lock.acquire, abandon_on_cancel=True):
                log = found.facts.log
                self._notes.go_on_with(ChangeLog(self._files.log_path(log), log, changes.size))
            if not is_blank:
                progress.state = RestoreState.NONE
                return
            self._loaded = changes.loaded
            await self._restore(found, changes, pause)
            # What is evicted first comes last in a snapshot, and must be loaded first.
            self.to_load.update(dict.fromkeys(reversed(self._unserved)))
            self.to_load.update(changes.loaded)
        except Exception as error:  # noqa: BLE001 - of the code of a key, or of settings that are functions
            self._stop(error_line(error))
        if progress.state is RestoreState.RESTORING:
            progress.state = RestoreState.RESTORED
            progress.reason = f"not usable: {self._codec.rejected}" if self._codec.rejected else ""
        self._told()

    async def _restore(self, found: Found, changes: Changes[K], pause: Callable[[], float]) -> None:
        if self._confirm is not None:
            changes.changed.clear()  # it knows what is true now
        elif changes.is_cleared:
            self._progress.left_out = self._progress.entries
            return
        in_order = found.facts.order == self._holdings.order
        taken_at = found.facts.provenance.time
        some = 1 if self._confirm is None else _FRAMES_A_QUESTION
        frames = iter(found.entries)
        while group := list(islice(frames, some)):
            entries: list[Entry[K, V]] = []
            for frame in group:
                entries += self._codec.entries_of(frame)
                await sleep(pause())
            left = {entry.key: self._holdings.left(entry, taken_at) for entry in entries}
            usable = [
                entry if in_order else entry._replace(queue=0, hits=0)
                for entry in entries
                if entry.key not in changes.changed
                and entry.key not in changes.evicted
                and self._holdings.may_serve(left[entry.key])
            ]
            if self._confirm is not None:
                confirmed = await self._confirmed([entry.key for entry in usable])
                if confirmed is None:
                    self._stop(_NO_ANSWER)
                    return
                usable = [
                    entry._replace(value=confirmed[entry.key][0])
                    for entry in usable
                    if entry.key in confirmed
                ]
                left = {key: seconds for key, (_, seconds) in confirmed.items()}
            elif self._notes.clears:
                self._stop(_CLEARED)
                return
            self._add(usable, left)
            self._told()
        self._progress.left_out = self._progress.entries - self._progress.restored
        if in_order:
            await self._remember(found, changes, pause)

    async def _remember(self, found: Found, changes: Changes[K], pause: Callable[[], float]) -> None:
        """Let the eviction order remember what was evicted lately, the key evicted last last."""
        before = (self._codec.keys_of(frame)[::-1] for frame in reversed(found.ghosts))
        for keys in chain(before, steps(changes.evicted)):
            gone = [key for key in keys if self._holdings.store.peek(key, ABSENT) is ABSENT]
            self._holdings.store.order.remember(gone)
            self._notes.evicted_lately.extend(gone)
            await sleep(pause())

    def _add(self, entries: Sequence[Entry[K, V]], left: Mapping[K, float]) -> None:
        # In one step with the question what changed meanwhile.
        passed_over = self._notes.passed_over or set()
        new = [
            entry
            for entry in entries
            if entry.key not in passed_over and self._holdings.store.peek(entry.key, ABSENT) is ABSENT
        ]
        if self._confirm is None and self._setting.restored == "reloaded":
            self._unserved += [entry.key for entry in new]
            return
        # One that was evicted and loaded again since has its place among those that were loaded.
        self._notes.later.update(
            (entry.key, (entry, left[entry.key])) for entry in new if entry.key in self._loaded
        )
        now = [entry for entry in new if entry.key not in self._loaded]
        self._added(self._holdings.add(now, {key: it for key, it in left.items() if it < math.inf}))

    def add_later(self, keys: Sequence[K]) -> None:
        """Add those of ``keys`` that were kept for later, and that nothing has changed since."""
        some = [self._notes.later.pop(key) for key in keys if key in self._notes.later]
        left = {entry.key: it for entry, it in some if it < math.inf}
        self._added(self._holdings.add_youngest([entry for entry, _ in some], left))

    def _added(self, keys: Sequence[K]) -> None:
        self._progress.restored += len(keys)
        if self._holdings.came is not None:
            self._holdings.came(keys)
        if self._confirm is None and self._setting.restored == "stale":
            self._notes.marked.update(dict.fromkeys(keys))

    async def _confirmed(self, keys: Sequence[K]) -> Mapping[K, tuple[V, float]] | None:
        if self._confirm is None or not keys:
            return {}
        tries = 0
        while tries < _TRIES:
            clears = self._notes.clears
            confirmed = await self._confirm(keys)
            if confirmed is None:
                tries += 1
                await sleep(_PAUSE)
            elif clears == self._notes.clears:  # else it may have answered before that
                return confirmed
        return None

    def _misfit(self, facts: Facts) -> str | None:
        """Return in one line why the snapshot is not used; ``None`` when it is."""
        own, setting = self._reader(), self._setting
        if (reason := misfit(facts.provenance, own)) is not None:
            return reason
        for name in ("version", "namespace"):
            theirs, ours = getattr(facts, name), getattr(setting, name)
            if theirs != ours:
                return f"it has {name} {theirs!r}, and this cache has {ours!r}"
        if facts.provenance.time > own.time + _AHEAD:
            ahead = duration(facts.provenance.time - own.time)
            return f"it was saved {ahead} in the future: was the clock set?"
        if (since := age(facts.provenance, own.time)) > setting.max_age:
            return f"it is {duration(since)} old, and max_age is {duration(setting.max_age)}"
        return None

    async def _refuse(self, reason: str) -> None:
        """Report and put aside what is not used: later it could come back without a log of what changed."""
        self._progress.state, self._progress.reason = RestoreState.REFUSED, reason
        self._told()
        try:
            if await to_thread.run_sync(self._files.lock.acquire, abandon_on_cancel=True):
                await to_thread.run_sync(self._files.put_aside, abandon_on_cancel=True)
        except OSError as error:
            self._progress.reason = f"{reason} (and it could not be put aside: {error})"

    def _stop(self, reason: str) -> None:
        self._notes.later.clear()
        self._progress.stop(reason)
