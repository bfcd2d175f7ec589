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
from async_backfill._runner.history.job import HistoryJob, write_history
from async_backfill._runner.logs.filters import Filters
from async_backfill._runner.logs.recogniser import FormatName, KeyPlace
from async_backfill._runner.wording import one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from async_backfill._runner.history.job import History

_Optional: Final = Parameter(show_default=False)
_Several: Final = Parameter(show_default=False, negative=())


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryCommand:
    """A reading of logs; implements `Command`."""

    job: HistoryJob
    quiet: bool

    @property
    def left_out(self) -> str:
        """The words for lines that are no lookups."""
        return "without a key" if self.job.place.filters is None else "left out or without a key"

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
            missed = f", {others:,} {self.left_out}" if others else ""
            counts = f"{reading.lookups:,} lookups in {reading.lines:,} lines{missed}"
            print(one_line(f"{reading.name}: {reading.taken_for}: {counts}"))
        print(f"{self.written}: {history.keys:,} keys")


def history(  # noqa: PLR0913 - each is an option
    *,
    from_: Annotated[list[str], Parameter(name="--from", negative=(), allow_leading_hyphen=True)],
    to: str,
    format: Annotated[FormatName | None, _Optional] = None,  # noqa: A002 - the option's name is given
    column: Annotated[str | None, _Optional] = None,
    field: Annotated[str | None, _Optional] = None,
    pattern: Annotated[str | None, _Optional] = None,
    method: Annotated[list[str] | None, _Several] = None,
    status: Annotated[list[str] | None, _Several] = None,
    key_type: KeyTypeName = "str",
    size: Annotated[int, Parameter(converter=integer)] = 100_000,
    half_life: Annotated[float | None, _Optional] = None,
    fingerprint: Annotated[str | None, _Optional] = None,
    quiet: Annotated[bool, Parameter(negative=())] = False,
) -> HistoryCommand:
    """Write a journal of hot keys from logs, so that a first deployment starts warm.

    A cache whose backfills select by history reads the journal when it opens.
    Lines without a key are skipped and counted. Example:

        python -m async_backfill history --from access.log --to hot.journal

    Parameters
    ----------
    from_:
        Logs, oldest first, plain or packed (gzip, bz2, xz, zstd); - is standard input.
    to:
        The journal; an older one is replaced once the new one is complete.
    format:
        A log of requests (the key is the path, without the query), one key a line, or a table
        [recognised by the first lines].
    column:
        The key column of a table, or its number, from 1, where there is no header; a field of a W3C log.
    field:
        The field of JSON lines that is the key, such as request.uri.
    pattern:
        A regular expression; its group, or the one named key, is the key.
    method:
        Methods of the requests that count, such as GET [all].
    status:
        Statuses of the requests that count, such as 200 or 2xx [all].
    key_type:
        Type of the keys of your cache: a text is not the number that it shows. Other lines are skipped.
    size:
        Largest number of keys to remember; twice the capacity of the cache is enough.
    half_life:
        Lookups after which a lookup counts half [15 times the size].
    fingerprint:
        The fingerprint of your cache, where you gave it one: it uses no journal with another.
    quiet:
        Print errors only.
    """
    job = HistoryJob(
        inputs=from_,
        output=to,
        place=KeyPlace(
            format_name=format,
            column=column,
            field=field,
            pattern=pattern,
            filters=Filters.given(method or (), status or ()),
        ),
        key_type=key_type,
        size=size,
        half_life=half_life,
        fingerprint=fingerprint,
    )
    return HistoryCommand(job=job, quiet=quiet)
