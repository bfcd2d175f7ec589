"""Save snapshots one at a time, and keep account of them; one that fails is reported, and the older stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic

from anyio import Lock

from async_backfill._session.snapshots.taking import Taken, Taking
from async_backfill.contracts import K, V
from async_backfill.errors import SnapshotError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from async_backfill._common.log_lines import CacheLog

_NOT_YET: Final = "values are still being restored, or loaded again, and the older snapshot stays"
_LEFT_OUT: Final = (
    "the snapshot %s lacks %d of %d entries: their key or value would not come back as it is (codec= and "
    "key_type= help), or the file would be larger than max_bytes"
)


class Saving(Generic[K, V]):
    """Saves to ``path`` what ``taking`` writes.

    :param is_unsure: returns whether some of what is held may be outdated: in a snapshot it would count as
        sure, however often the process is restarted.
    :param told: called when a snapshot was saved, or was not.
    """

    def __init__(
        self,
        path: Path,
        taking: Taking[K, V],
        *,
        is_unsure: Callable[[], bool],
        told: Callable[[], None],
        log: CacheLog,
    ) -> None:
        self._log = log
        self.saved = self.failed = 0
        self.latest = Taken(entries=0, left_out=0, size=0)
        self._path = path
        self._taking = taking
        self._is_unsure = is_unsure
        self._told = told
        self._turn = Lock()
        self._has_failed = self._has_told = False

    def begin(self) -> None:
        """Take note that the cache is opened, maybe in another event loop."""
        self._turn = Lock()

    async def save(self, pause: float) -> str | None:
        """Save a snapshot, with a pause of so many seconds between two steps.

        Returns in one line why it was not saved; only the first failure in a row is logged.
        """
        async with self._turn:
            if self._is_unsure():
                return f"{self._path}: {_NOT_YET}"
            try:
                self.latest = await self._taking.take(pause)
            except (OSError, SnapshotError) as error:
                problem = str(error)
            except Exception as error:  # noqa: BLE001 - of the code of a key, or of a codec
                self._log.exception("the snapshot %s was not saved", self._path)
                problem = f"{self._path}: {error!r}"
            else:
                self.saved += 1
                self._has_failed = False
                self._tell_what_is_left_out()
                self._told()
                return None
            self.failed += 1
            if not self._has_failed:
                self._has_failed = True
                self._log.error("the snapshot was not saved, and the older one stays: %s", problem)
            self._told()
            return problem

    def _tell_what_is_left_out(self) -> None:
        left_out = self.latest.left_out
        if left_out and not self._has_told:
            self._has_told = True
            self._log.warning(_LEFT_OUT, self._path, left_out, self.latest.entries + left_out)
