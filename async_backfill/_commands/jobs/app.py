"""The verbs of the command ``jobs``, in the order in which an operator needs them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cyclopts import App

from async_backfill._commands.jobs.approval import approve, revoke
from async_backfill._commands.jobs.dead import dead
from async_backfill._commands.jobs.log import log
from async_backfill._commands.jobs.orders import cancel, panic, pause, resume, set_
from async_backfill._commands.jobs.plan import dry_run, plan
from async_backfill._commands.jobs.run import run, work
from async_backfill._commands.jobs.status import ls, status
from async_backfill._commands.jobs.verify import verify

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from async_backfill._commands.jobs.answers import Answer

_VERBS: Final[tuple[Callable[..., Awaitable[Answer]], ...]] = (
    plan,
    dry_run,
    approve,
    run,
    work,
    status,
    ls,
    pause,
    resume,
    cancel,
    set_,
    verify,
    dead,
    log,
    revoke,
    panic,
)
_HELP: Final = "Fill a store from a source, durably: plan, approve, run, pause, resume, verify."
_EPILOGUE: Final = """\
Exit codes: 0 done or asked for; 1 differences or gaps; 2 refused; 3 failed;
4 paused; 130 interrupted, 143 terminated.
"""


def jobs_app() -> App:
    """Return the command ``jobs``."""
    app = App(name="jobs", help=_HELP, help_format="plaintext", help_epilogue=_EPILOGUE, version_flags=())
    for number, verb in enumerate(_VERBS):
        name = verb.__name__.rstrip("_").replace("_", "-")
        app.command(verb, name=name, sort_key=number, help_epilogue="")
    return app
