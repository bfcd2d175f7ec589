"""The state of jobs in a file of this machine."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, TypeVar

from async_backfill._common.each_process import EachProcess
from async_backfill._common.left_reads import LeftReads
from async_backfill._jobs._errors import JobStateError
from async_backfill._jobs._state.file import StateFile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

    from async_backfill.contracts import Transaction

T = TypeVar("T")


class SQLiteJobState:
    """The state of jobs in a file, which all processes of one machine share; implements `JobState`.

    Use it in ``async with``. A transaction that was committed outlives the process, whatever ends it; one
    that was cancelled while it waited for its turn changes nothing. After a power cut the last ones may be
    missing: then pages are repeated, and none is lost. A file that is damaged, of other software or of
    another release is refused with a `JobStateError`, and nothing in it is changed.

    :param path: the file, on a disk of this machine, not of a network; it is made for its owner alone.
    :param create: whether a file that is not there is made.
    :param clock: a function that returns seconds since the epoch, the same in all processes.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        create: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path = os.path.abspath(path)  # noqa: PTH100 - a text; a later chdir must not change it
        self._create = create
        self._clock = clock
        self._reads = LeftReads(self._path, error=JobStateError)
        self._file: EachProcess[StateFile] | None = None

    async def __aenter__(self) -> Self:
        file = EachProcess(lambda: self._new_file(file.inherited))
        await self._reads.run(file.get().open)
        self._create = False  # a forked process finds it, or says that it is gone
        self._file = file
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        file, self._file = self._file, None
        if file is not None:
            await self._reads.run_last(file.get().close)

    async def transact(self, work: Callable[[Transaction], T], /) -> T:
        """Run ``work`` in one transaction, alone, in a thread, and commit; roll back what it raises.

        :raises JobStateError: when the file cannot be used; nothing of the transaction is kept then.
        """
        if self._file is None:
            raise JobStateError(f"{self._path}: this state is not open: use it in `async with`")
        file = self._file.get()
        return await self._reads.run(lambda: file.transact(work))

    def _new_file(self, inherited: Sequence[StateFile]) -> StateFile:
        return StateFile(self._path, create=self._create, clock=self._clock, inherited=inherited)
