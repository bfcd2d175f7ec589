"""The options that all verbs of ``jobs`` have, and the state that they name."""

from __future__ import annotations

import getpass
import os
import shlex
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter

from async_backfill._jobs._state.naming import STATE_VARIABLE, shown
from async_backfill._runner.log_lines import log_lines
from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from async_backfill.jobs import JobEnds, Jobs, JobSpec

_STATE: Final = "jobs.sqlite"


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of each verb."""

    state: Annotated[str, Parameter(env_var=STATE_VARIABLE)] = _STATE
    """What keeps the jobs: a file of this machine, or the URL of PostgreSQL, which several hosts share."""

    by: Annotated[str | None, Parameter(show_default=False)] = None
    """Your name, as the log of the job will show it [your login name]."""

    json: Annotated[bool, Parameter(negative=(), show_default=False)] = False
    """Print one JSON object, for programs."""

    program: Annotated[str, Parameter(parse=False)] = "python -m async_backfill"

    @property
    def who(self) -> str:
        """The name of the person who asks."""
        if self.by is not None:
            return self.by
        try:
            return getpass.getuser()
        except (KeyError, OSError, ImportError) as error:
            raise ConfigurationError("--by", "there is no login name here: say who you are") from error

    @asynccontextmanager
    async def jobs(self, *, create: bool = False) -> AsyncIterator[Jobs]:
        """Open the state, for ``async with``; warnings of the library are lines on standard error meanwhile.

        :param create: whether a state that is not there is made.
        """
        # Other commands do not need it, and it takes a third of a second to import.
        from async_backfill.jobs import Jobs, open_ends  # noqa: PLC0415 - see above

        hidden: list[Callable[[str], str]] = []  # of the ends that are open

        @asynccontextmanager
        async def opened(spec: JobSpec) -> AsyncIterator[JobEnds[Any, Any]]:
            async with open_ends(spec) as ends:
                hidden.append(ends.hidden)
                try:
                    yield ends
                finally:
                    hidden.remove(ends.hidden)

        with log_lines(lambda text: reduce(lambda said, hide: hide(said), hidden, text)):
            async with Jobs(self.state, create=create, open_ends=opened) as jobs:
                yield jobs

    def command(self, *words: str) -> str:
        """Return the command that a person types for the verb and arguments in ``words``, in this state."""
        return " ".join([self.program, "jobs", *map(shlex.quote, [*words, *self._named()])])

    def approve_command(self, job: int, plan_hash: str) -> str:
        """Return the command that approves a job."""
        return self.command("approve", str(job), "--plan", plan_hash, "--reason", "WHY")

    def _named(self) -> Sequence[str]:
        usual = os.environ.get(STATE_VARIABLE) or _STATE
        return () if self.state == usual else ("--state", shown(self.state))


USUAL: Final = Options()
