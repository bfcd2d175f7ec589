"""Open what an application needs, and say in one line what could not be opened."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, TypeVar

from async_backfill._cache import BackfillCache
from async_backfill._common.error_text import error_line
from async_backfill.errors import ConfigurationError
from async_backfill.jobs import Jobs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractAsyncContextManager, AsyncExitStack

T = TypeVar("T")
_LOGGER: Final = logging.getLogger("async_backfill.frameworks")


async def enter(stack: AsyncExitStack, name: str, opening: Callable[[], AbstractAsyncContextManager[T]]) -> T:
    """Enter what ``opening()`` returns; an error is logged in one line, and names what was opened."""
    try:
        return await stack.enter_async_context(opening())
    except Exception as error:
        _LOGGER.error(  # noqa: TRY400 - one line; the server that is told of it shows the traceback
            "the application does not start, because %s was not opened: %s", name, error_line(error)
        )
        error.add_note(f"while {name!r} was opened for the application")
        raise


def shown_of(opened: Mapping[str, object]) -> dict[str, Any]:
    """Return what the operator's page shows of what was ``opened``: its caches, and its jobs.

    :raises ConfigurationError: when there are two `Jobs`.
    """
    jobs = [one for one in opened.values() if isinstance(one, Jobs)]
    if len(jobs) > 1:
        raise ConfigurationError("operator_page", "shows the jobs of one state; mount a page for each")
    caches = {name: one for name, one in opened.items() if isinstance(one, BackfillCache)}
    return {"caches": caches, "jobs": jobs[0] if jobs else None}
