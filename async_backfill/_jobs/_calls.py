"""Calls of the ends of a job: in bounded time, tried again, and with errors of one line."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar, cast

from anyio import CancelScope, sleep

from async_backfill._common.attempt import attempt
from async_backfill._common.error_text import error_line
from async_backfill._jobs._errors import JobError, JobRefusedError
from async_backfill.errors import ConfigurationError
from async_backfill.warming._calls import StoppedError, in_time
from async_backfill.warming._reading_again import read_again

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from async_backfill.contracts import FarCopy, FarStore, K, RowPage, Rows, Source, V
    from async_backfill.warming._reading_again import Again

T = TypeVar("T")

_FIRST_PAUSE: Final = 1.0


async def answer(call: Callable[[], Awaitable[T]], seconds: float, what: str, *, attempts: int = 1) -> T:
    """Return the result of ``call()``, which may take ``seconds`` each time that it is tried.

    :param what: what could not be done, if it fails; the error begins with it.
    :raises JobError: when it fails each time; its cause is the error of the last time. A wrong setting, such
        as the name of a column that there is not, is tried once.
    :raises JobRefusedError: when the call does.
    """
    error: BaseException | None = None
    for number in range(attempts):
        if number:
            await sleep(_FIRST_PAUSE * number)
        try:
            result, error = await in_time(call, seconds, "the longest time for a call")
        except StoppedError as stopped:
            raise stopped.cause from None
        if error is None:
            return cast("T", result)
        if isinstance(error, JobRefusedError):  # it has answered
            raise error
        if isinstance(error, ConfigurationError):
            break
    assert error is not None  # noqa: S101 - there is one attempt or more
    raise JobError(f"{what}: {error_line(error)}") from error


async def copies_of(
    store: FarStore[K, V], keys: Sequence[K], seconds: float, *, attempts: int = 1
) -> Mapping[K, FarCopy[V]]:
    """Return the copies that ``store`` has of ``keys``.

    :raises JobError: when it does not answer.
    """
    return await answer(
        partial(store.get_many, keys), seconds, "the store could not be read", attempts=attempts
    )


async def rows_again(
    source: Source[K, V], keys: Sequence[K], seconds: float, *, attempts: int = 1
) -> Again[K, V]:
    """Return the rows of ``keys`` as they are now.

    :raises JobError: when they cannot be read.
    """
    call = partial(read_again, source, keys)
    return await answer(call, seconds, "rows could not be read again", attempts=attempts)


async def first_page(
    rows: Rows[K, V], after: object | None, until: object | None, size: int, seconds: float, attempts: int = 1
) -> RowPage[K, V] | None:
    """Return the first page between two cursors, of ``size`` rows at the most; ``None`` if there is none.

    :raises JobError: when it cannot be read.
    """

    async def read() -> RowPage[K, V] | None:
        pages = rows.rows(after=after, until=until, page=size)
        try:
            return await anext(pages, None)
        finally:
            if isinstance(pages, AsyncGenerator):
                await attempt(partial(pages.aclose), CancelScope())

    return await answer(read, seconds, "the source's rows could not be read", attempts=attempts)
