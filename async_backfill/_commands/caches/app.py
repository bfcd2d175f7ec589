"""The verbs of the command ``caches``, in the order in which an operator needs them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cyclopts import App

from async_backfill._commands.caches.verbs import (
    approve,
    cancel,
    explain,
    invalidate,
    off,
    on,
    pause,
    resume,
    retune,
    revoke,
    status,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from async_backfill._commands.jobs.answers import Answer

_VERBS: Final[tuple[Callable[..., Awaitable[Answer]], ...]] = (
    status,
    pause,
    resume,
    cancel,
    approve,
    revoke,
    off,
    on,
    invalidate,
    explain,
    retune,
)
_HELP: Final = "See and steer the caches of a running process, through the operator's page that it serves."
_EPILOGUE: Final = """\
Exit codes: 0 done; 2 refused; 3 failed, or no answer; 130 interrupted, 143
terminated.
"""


def caches_app() -> App:
    """Return the command ``caches``."""
    app = App(name="caches", help=_HELP, help_format="plaintext", help_epilogue=_EPILOGUE, version_flags=())
    for number, verb in enumerate(_VERBS):
        app.command(verb, name=verb.__name__, sort_key=number, help_epilogue="")
    return app
