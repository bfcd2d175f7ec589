"""Write a snapshot of a cache that goes on working: in short steps, and the disk in a thread."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic

from anyio import sleep, to_thread

from async_backfill._common.atomic_file import AtomicFile, remove_leftovers
from async_backfill._session.snapshots.holdings import Holdings, steps
from async_backfill.contracts import K, V
from async_backfill.errors import SnapshotError
from async_backfill.stores._snapshot.files import SnapshotFiles, Writing
from async_backfill.stores._snapshot.format import Facts, SnapshotCodec
from async_backfill.stores._snapshot.log import ChangeLog

if TYPE_CHECKING:
    from collections.abc import Callable

    from async_backfill._session.snapshots.notes import Notes
    from async_backfill.records import Provenance
    from async_backfill.stores.snapshot_file import SnapshotFile

_IN_USE: Final = "another process saves to it, or another cache of this one; give each a file of its own"
_GIVEN_UP: Final = "what changed meanwhile could not be logged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A snapshot that was written, and how many entries it does not have."""

    entries: int
    left_out: int
    size: int


class Taking(Generic[K, V]):
    """Writes snapshots to ``files``; what changes from the first step on is in a log of its own.

    :param origin: returns where the snapshot comes from.
    """

    def __init__(
        self,
        setting: SnapshotFile[K, V],
        files: SnapshotFiles[K, V],
        codec: SnapshotCodec[K, V],
        holdings: Holdings[K, V],
        notes: Notes[K],
        *,
        origin: Callable[[], Provenance],
    ) -> None:
        self._setting = setting
        self._files = files
        self._codec = codec
        self._holdings = holdings
        self._notes = notes
        self._origin = origin

    async def take(self, pause: float) -> Taken:
        """Write a snapshot, with a pause of so many seconds between two steps.

        :raises OSError: when the file system refuses; the older snapshot is still there, and its log goes on.
        :raises SnapshotError: when another process saves to the file, or the log could not be written.
        """
        if not await to_thread.run_sync(self._files.lock.acquire, abandon_on_cancel=True):
            raise SnapshotError(f"{self._files.path}: {_IN_USE}")
        await to_thread.run_sync(remove_leftovers, self._files.path, abandon_on_cancel=True)
        name = secrets.token_hex(8)
        log = ChangeLog(self._files.log_path(name), name)
        await to_thread.run_sync(log.append, b"")  # so that it is there
        try:
            await self._notes.flush()
            # In one step: what is noted from now on concerns what is listed now.
            self._notes.logs.append(log)
            with AtomicFile(self._files.path) as replacement:
                taken = await self._write(replacement, log, pause)
        except BaseException as error:
            self._notes.logs = [other for other in self._notes.logs if other is not log]
            log.close()
            if isinstance(error, Exception):  # else a thread may still put the snapshot in place
                self._files.log_path(name).unlink(missing_ok=True)
            raise
        self._notes.drop_logs(but=log)
        await to_thread.run_sync(self._files.remove_logs_but, name, abandon_on_cancel=True)
        return taken

    async def _write(self, replacement: AtomicFile, log: ChangeLog, pause: float) -> Taken:
        keys, evicted = self._holdings.keys(), tuple(self._notes.evicted_lately)
        origin = self._origin()
        facts = Facts(
            provenance=origin,
            version=self._setting.version,
            namespace=self._setting.namespace,
            order=self._holdings.order,
            entries=len(self._holdings.store),
            log=log.name,
        )
        writing: Writing[K, V] = Writing(replacement, most=self._files.max_bytes)
        writing.add(self._codec.start(facts))
        count = seen = 0
        for step in steps(keys):
            entries = self._holdings.entries(step)
            frame, some = self._codec.entries(entries, origin.time)
            if not writing.add(frame):
                seen = facts.entries
                break
            seen += len(entries)
            count += some
            await self._go_on(writing, pause)
        for some_ghosts in steps(self._holdings.evicted(reversed(evicted))):
            if not writing.add(self._codec.ghosts(some_ghosts)):
                break
            await self._go_on(writing, pause)
        self._require_log(log)
        await to_thread.run_sync(writing.finish, self._codec, abandon_on_cancel=True)
        if log not in self._notes.logs:  # it was given up while the file was put in place
            await to_thread.run_sync(self._files.remove)
        self._require_log(log)
        return Taken(entries=count, left_out=max(0, seen - count), size=writing.size)

    def _require_log(self, log: ChangeLog) -> None:
        if log not in self._notes.logs:
            raise SnapshotError(f"{self._files.path}: {_GIVEN_UP}")

    @staticmethod
    async def _go_on(writing: Writing[Any, Any], pause: float) -> None:
        if writing.is_due:
            await to_thread.run_sync(writing.write, abandon_on_cancel=True)
        await sleep(pause)
