"""The command ``history``: make a journal of hot keys from logs."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import anyio
from cyclopts import Parameter

from async_backfill._commands.integers import integer
from async_backfill._common.written_keys import KeyTypeName  # noqa: TC001 - cyclopts reads the annotation
from async_backfill._runner.display import ProgressBar
from async_backfill._runner.history.formats import FormatName  # noqa: TC001 - as above
from async_backfill._runner.history.job import HistoryJob, write_history
from async_backfill._runner.wording import one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from async_backfill._runner.history.job import History

_Optional: Final = Parameter(show_default=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryCommand:
    """A reading of logs; implements `Command`."""

    job: HistoryJob
    quiet: bool

    @property
    def written(self) -> str:
        """One line about the journal."""
        return one_line(f"{self.job.output} written")

    def progress_bar(self) -> ProgressBar:
        """Return a bar that counts bytes."""
        return ProgressBar(None if self.quiet else sys.stderr, doing="reading", in_bytes=True)

    def run(self, progress: Callable[[int, int], None], /) -> History:
        """Read the logs and write the journal."""
        return anyio.run(write_history, self.job, progress)

    def tell(self, history: History, /) -> None:
        """Print the counts of each log, and the number of keys in the journal."""
        for reading in history.readings:
            others = reading.lines - reading.lookups
            missed = f", {others:,} without a key" if others else ""
            print(one_line(f"{reading.name}: {reading.lookups:,} lookups in {reading.lines:,} lines{missed}"))
        print(f"{self.written}: {history.keys:,} keys")


def history(  # noqa: PLR0913 - each is an option
    *,
    from_: Annotated[list[str], Parameter(name="--from", negative=(), allow_leading_hyphen=True)],
    to: str,
    format: Annotated[FormatName | None, _Optional] = None,  # noqa: A002 - the option's name is given
    column: Annotated[str | None, _Optional] = None,
    pattern: Annotated[str | None, _Optional] = None,
    key_type: KeyTypeName = "str",
    size: Annotated[int, Parameter(converter=integer)] = 100_000,
    half_life: Annotated[float | None, _Optional] = None,
    quiet: Annotated[bool, Parameter(negative=())] = False,
) -> HistoryCommand:
    """Write a journal of hot keys from logs, so that a first deployment starts warm.

    A cache whose backfills select by history reads the journal when it opens.
    Lines without a key are skipped and counted. Example:

        python -m async_backfill history --from access.log --to hot.journal

    Parameters
    ----------
    from_:
        A log, plain or gzip, or - for standard input; repeat the option for more logs, oldest first.
    to:
        The journal; an older one is replaced once the new one is complete.
    format:
        Access log (common or combined: the key is the path, without the query), one key a line, or CSV
        with a header [guessed from the first lines].
    column:
        The key column of a CSV table.
    pattern:
        A regular expression; its group, or the one named key, is the key.
    key_type:
        Type of the keys of your cache: a text is not the number that it shows. Other lines are skipped.
    size:
        Largest number of keys to remember; twice the capacity of the cache is enough.
    half_life:
        Lookups after which a lookup counts half [15 times the size].
    quiet:
        Print errors only.
    """
    job = HistoryJob(
        inputs=from_,
        output=to,
        format_name=format,
        column=column,
        pattern=pattern,
        key_type=key_type,
        size=size,
        half_life=half_life,
    )
    return HistoryCommand(job=job, quiet=quiet)
