"""What a copy looks at once more at its end: keys that were leased, and whether the store kept its rows."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Final, Generic

from async_backfill._common.error_text import error_line
from async_backfill.contracts import K, V
from async_backfill.warming._calls import StoppedError, in_time
from async_backfill.warming._reading_again import read_again

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from async_backfill.contracts import FarStore, Source
    from async_backfill.warming._guards import Guard
    from async_backfill.warming._page import Sample
    from async_backfill.warming._progress import Tally
    from async_backfill.warming._settings import Settings

_LOGGER: Final = logging.getLogger("async_backfill.warming")
_AT_ONCE: Final = 500
_NEARLY_ALL: Final = 0.9
_FEW: Final = 10  # of a few lost rows nobody can say that the store lost them


class LastLooks(Generic[K, V]):
    """The looks at the end of a copy to ``store``; counted in ``tally``."""

    def __init__(
        self,
        store: FarStore[K, V],
        guard: Guard[K, V],
        settings: Settings,
        tally: Tally[K],
        source: Source[K, V] | None,
    ) -> None:
        self._store = store
        self._guard = guard
        self._settings = settings
        self._tally = tally
        self._source = source

    async def at_leased(self) -> None:
        """Look once more at keys that a process was loading: it has written most of them.

        A row that is not there is read again and written, if there is a source. What fails stays leased: a
        key without a value is loaded by whoever asks for it.
        """
        read_at = self._tally.take_leased()
        for part in _parts(list(read_at)):
            found, error = await in_time(
                partial(self._store.get_many, part), self._settings.write_timeout, "write_timeout"
            )
            if found is None:
                _LOGGER.warning("keys that were leased could not be looked at: %s", _said(error))
                return
            now = self._guard.now()
            written = {key for key in part if key in found and found[key].age <= now - read_at[key]}
            self._tally.take_back_leased(len(written))
            self._tally.add_later(written)
            missing = [key for key in part if key not in written]
            if missing and self._source is not None:
                await self._fill(missing, self._source)

    async def _fill(self, keys: Sequence[K], source: Source[K, V]) -> None:
        read_at, ttl = self._guard.now(), self._settings.drawn_ttl()
        again, error = await in_time(
            partial(read_again, source, keys), self._settings.read_timeout, "read_timeout"
        )
        if again is None:
            _LOGGER.warning("rows that were leased could not be read: %s", _said(error))
            return
        self._tally.take_back_leased(len(again.gone))
        self._tally.add_later(again.gone)
        if not again.rows:
            return
        call = partial(self._guard.write, again.rows, read_at, ttl)
        kept, error = await in_time(call, self._settings.write_timeout, "write_timeout")
        if kept is None:
            _LOGGER.warning("rows that were leased could not be written: %s", _said(error))
            return
        self._tally.take_back_leased(len(again.rows))
        self._tally.add(kept, read_at)

    async def at_sample(self, sample: Sample[K, V]) -> None:
        """Look whether the rows of ``sample`` are still in the store.

        :raises StoppedError: when more are missing than may be, or the store does not answer.
        """
        keys = sample.living(self._guard.now())
        missing: set[K] = set()
        for part in _parts(keys):
            found = await self._found(part)
            missing.update(key for key in part if key not in found)
        lost, share = len(missing), self._settings.max_lost
        is_fine = share == 1.0 or (lost <= share * len(keys) and not _has_gap(keys, missing))
        self._tally.lose(len(keys), lost, resumable=is_fine)
        if is_fine:
            return
        problem = (
            f"of {len(keys):,} rows that the store had kept, {lost:,} are not there any more: it was "
            f"emptied, is full and evicts, or others removed them (max_lost is {share})"
        )
        if lost >= _FEW:
            raise StoppedError(problem, RowsLostError(problem))
        _LOGGER.warning("%s", problem)

    async def _found(self, keys: Sequence[K]) -> Mapping[K, object]:
        error: BaseException | None = None
        for _ in range(self._settings.attempts):
            found, error = await in_time(
                partial(self._store.get_many, keys), self._settings.write_timeout, "write_timeout"
            )
            if found is not None:
                return found
        assert error is not None  # noqa: S101 - there is one attempt or more
        raise StoppedError(f"the rows could not be looked for at the end: {error_line(error)}", error)


class RowsLostError(Exception):
    """Rows that a store had kept are not there any more."""


def _has_gap(keys: Sequence[K], missing: Collection[K]) -> bool:
    """Return whether nearly all of a tenth of ``keys``, in the order of the copy, are ``missing``.

    So it looks after a store was emptied, however early, and not where applications remove rows.
    """
    size = max(_FEW, len(keys) // 10)
    parts = (keys[first : first + size] for first in range(0, len(keys) - size + 1, size))
    return any(sum(key in missing for key in part) >= _NEARLY_ALL * size for part in parts)


def _parts(keys: Sequence[K]) -> Iterator[Sequence[K]]:
    for first in range(0, len(keys), _AT_ONCE):
        yield keys[first : first + _AT_ONCE]


def _said(error: BaseException | None) -> str:
    return "no answer" if error is None else error_line(error)
