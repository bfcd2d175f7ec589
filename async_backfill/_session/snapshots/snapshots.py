"""The snapshot of a cache: restored when it opens, saved while it is open and when it closes."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Final, Generic

from anyio import CancelScope, Event, current_time, move_on_after

from async_backfill._common.log_lines import CacheLog
from async_backfill._common.provenance import here
from async_backfill._session.snapshots.holdings import Holdings
from async_backfill._session.snapshots.notes import Notes
from async_backfill._session.snapshots.reloading import Reloading, remove_marked
from async_backfill._session.snapshots.restoring import Progress, Restoring
from async_backfill._session.snapshots.saving import Saving
from async_backfill._session.snapshots.taking import Taking
from async_backfill.contracts import K, V
from async_backfill.errors import SnapshotError
from async_backfill.events import SnapshotChanged
from async_backfill.records import RestoreState, SnapshotStats
from async_backfill.stores._snapshot.files import SnapshotFiles
from async_backfill.stores._snapshot.format import SnapshotCodec
from async_backfill.stores._snapshot.keys import PackedKeys
from async_backfill.stores._snapshot.log import LogCodec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from async_backfill._far.open_tier import OpenTier
    from async_backfill._loading.loader import Loader
    from async_backfill._lookup.noted_tier import NotedTier
    from async_backfill._session.settings import Settings
    from async_backfill.contracts import Spawn
    from async_backfill.events import Event as CacheEvent
    from async_backfill.records import Provenance
    from async_backfill.stores.memory import MemoryStore
    from async_backfill.stores.snapshot_file import SnapshotFile

_LOGGER: Final = logging.getLogger("async_backfill.snapshot")
_OPENING: Final = 5.0
_A_TURN: Final = 1.0
_PAUSE: Final = 0.005
"""Seconds between two steps beside live traffic, each of which takes about a millisecond."""
_LEAST_LOGGED: Final = 20_000


class Snapshots(Generic[K, V]):
    """Restores and saves what ``near`` holds; it lives as long as the cache, and works while that is open.

    :param store: the store that ``near`` keeps its values in.
    """

    def __init__(
        self,
        setting: SnapshotFile[K, V],
        settings: Settings[K, V],
        near: NotedTier[K, V],
        store: MemoryStore[K, V],
        *,
        notify: Callable[[CacheEvent], None] | None,
        came: Callable[[Sequence[K]], object] | None = None,
    ) -> None:
        self._setting = setting
        self._settings = settings
        self._notify = notify
        self._log = CacheLog(_LOGGER, settings.name)
        keys: PackedKeys[K] = PackedKeys(setting.key_type)
        logs: LogCodec[K] = LogCodec(keys, setting.signing_key)
        self._codec: SnapshotCodec[K, V] = SnapshotCodec(setting, keys, settings.wall_clock)
        self._files: SnapshotFiles[K, V] = SnapshotFiles(
            setting.path, self._codec, logs, max_bytes=setting.max_bytes
        )
        self._notes: Notes[K] = Notes(logs, store.order, store.capacity, self._give_up)
        near.notes = self._notes
        self._holdings: Holdings[K, V] = Holdings(
            store,
            near.store,
            near.fresh,
            settings.freshness,
            wall_clock=settings.wall_clock,
            came=came,
        )
        taking: Taking[K, V] = Taking(
            setting, self._files, self._codec, self._holdings, self._notes, origin=self._here
        )
        self._saving: Saving[K, V] = Saving(
            self._files.path, taking, is_unsure=lambda: self._is_unsure, told=self._told, log=self._log
        )
        self._progress = Progress()
        self._scope: CancelScope | None = None  # made when it opens: here no event loop need run
        self._to_load: dict[K, None] = {}
        self._serves_until = -math.inf
        self._is_restoring = False
        self._spawn: Spawn | None = None

    async def open(self, loader: Loader[K, V], far: OpenTier[K, V] | None, spawn: Spawn) -> None:
        """Restore the snapshot, and return when that has ended, or goes on in the background."""
        self._spawn = spawn
        self._scope = scope = CancelScope()
        self._notes.begin()
        self._saving.begin()
        is_blank = not len(self._holdings.store)
        is_live, restored = Event(), Event()

        def pause() -> float:
            return _PAUSE if is_live.is_set() else 0.0

        async def run() -> None:
            with scope:
                try:
                    restoring = await self._restore(far, pause, is_blank=is_blank)
                finally:
                    self._is_restoring = False
                    self._notes.passed_over = None
                    restored.set()
                await self._reload(loader, restoring)

        self._is_restoring = True
        spawn(run)
        with move_on_after(_OPENING):
            await restored.wait()
        is_live.set()
        spawn(self._work)

    def stop(self) -> None:
        """Restore and load no more; what waits to be loaded again is removed once its time is over."""
        if self._scope is not None:
            self._scope.cancel()
        self._to_load.clear()
        self._notes.later.clear()
        if self._progress.state is RestoreState.RESTORING:
            self._progress.stop("stop_restoring was called")

    async def save(self) -> SnapshotStats:
        """Save a snapshot now.

        :raises SnapshotError: when that failed, or restored values wait to be loaded again.
        """
        failures: list[str | None] = []
        done = Event()

        async def run() -> None:
            try:
                failures.append(await self._saving.save(0.0))
            finally:
                done.set()

        if self._spawn is not None:
            self._spawn(run)  # of the cache, so that a caller who leaves does not leave half of it
            await done.wait()
        if failures != [None]:
            raise SnapshotError(failures[0] if failures and failures[0] else "the cache closes")
        return self.stats()

    async def logged(self) -> None:
        """Return once what has changed so far is logged."""
        await self._notes.flush()

    async def close(self) -> None:
        """Save a last snapshot; one that cannot be is reported, and the older one stays."""
        try:
            if self._scope is not None:
                self._scope.cancel()
            await self._notes.flush()
            if not self._is_unsure:
                await self._saving.save(0.0)
        finally:
            self._spawn = None
            self._notes.drop_logs()
            self._files.lock.release()

    def stats(self) -> SnapshotStats:
        """Return what became of the snapshots so far."""
        progress = self._progress
        return SnapshotStats(
            state=progress.state,
            reason=progress.reason,
            entries=progress.entries,
            restored=progress.restored,
            left_out=progress.left_out,
            waiting=len(self._notes.marked) + len(self._to_load),
            saved=self._saving.saved,
            saved_entries=self._saving.latest.entries,
            saved_bytes=self._saving.latest.size,
            saved_without=self._saving.latest.left_out,
            failed=self._saving.failed,
        )

    @property
    def _is_unsure(self) -> bool:
        return self._is_restoring or bool(self._notes.marked or self._to_load)

    async def _restore(
        self, far: OpenTier[K, V] | None, pause: Callable[[], float], *, is_blank: bool
    ) -> Restoring[K, V]:
        restoring: Restoring[K, V] = Restoring(
            self._setting,
            self._files,
            self._codec,
            self._holdings,
            self._notes,
            self._progress,
            reader=self._here,
            confirm=None if far is None else far.held,
            told=self._told,
        )
        self._to_load = restoring.to_load
        if not self._notes.marked:
            self._serves_until = self._settings.clock() + self._setting.stale_for
        if far is not None:
            await far.hears()  # or a message may be missed between the answer and the first one heard
        await restoring.run(pause, is_blank=is_blank)
        progress = self._progress
        if progress.reason:
            self._log.warning("the snapshot %s was %s: %s", self._files.path, progress.state, progress.reason)
        return restoring

    async def _reload(self, loader: Loader[K, V], restoring: Restoring[K, V]) -> None:
        reloading: Reloading[K, V] = Reloading(
            loader, self._holdings, self._notes, batch=self._settings.load.max_batch
        )
        await reloading.load(self._to_load, restoring.add_later)
        await reloading.renew(self._serves_until - self._settings.clock())

    async def _work(self) -> None:
        """Write the log and, in time, a snapshot; remove what was not loaded again in time."""
        every = math.inf if self._setting.save_every is None else self._setting.save_every
        due = current_time() + every
        while True:
            with move_on_after(_A_TURN):
                await self._notes.due.wait()
            await self._notes.flush()
            if self._settings.clock() >= self._serves_until:
                await remove_marked(self._holdings, self._notes)
            is_long = self._notes.logged > max(_LEAST_LOGGED, 4 * len(self._holdings.store))
            if (current_time() >= due or is_long) and not self._is_unsure:
                await self._saving.save(_PAUSE)
                due = current_time() + every

    def _give_up(self, problem: str) -> None:
        """Remove the snapshot, or what is changed from now on would come back from it."""
        self._log.error("the snapshot %s is removed: its log was not written: %s", self._files.path, problem)
        try:
            self._files.remove()
        except OSError as error:
            self._log.error("the snapshot %s could not be removed: %s", self._files.path, error)

    def _here(self) -> Provenance:
        settings = self._settings
        return here(settings.wall_clock, cache=settings.name, fingerprint=settings.fingerprint)

    def _told(self) -> None:
        if self._notify is not None:
            self._notify(SnapshotChanged(stats=self.stats()))
