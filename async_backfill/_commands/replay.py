"""The default command: replay a scenario and write its summary."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import anyio
from cyclopts import Group, Parameter

from async_backfill._commands.integers import integer, integer_or_none
from async_backfill._commands.telling import say
from async_backfill._runner.display import ProgressBar, print_table
from async_backfill._runner.output import STANDARD_OUTPUT
from async_backfill._runner.replay.job import run, run_in_virtual_time
from async_backfill._runner.replay.preparing import Job
from async_backfill._runner.wording import one_line
from async_backfill.policies import SelectionName  # noqa: TC001 - cyclopts reads the annotation
from async_backfill.stores._eviction.orders import Eviction  # noqa: TC001 - cyclopts reads the annotation

if TYPE_CHECKING:
    from collections.abc import Callable

    from async_backfill._runner.replay.job import Report

_SETTINGS: Final = Group("Settings, instead of those in the scenario", sort_key=2)
_Setting: Final = Parameter(group=_SETTINGS, show_default=False, negative=())
_Whole: Final = Parameter(group=_SETTINGS, show_default=False, converter=integer)
_WholeOrNone: Final = Parameter(group=_SETTINGS, show_default=False, converter=integer_or_none)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """The settings of a scenario as options; ``None`` keeps the scenario's value."""

    miss_threshold: Annotated[float | None, _Setting] = None
    """Share of misses, 0.01 to 1.0, that starts a backfill [0.5 unless the scenario sets it]."""

    backfill_batch: Annotated[int | None, _Whole] = None
    """Largest number of keys in one backfill [10]."""

    max_backfills: Annotated[int | Literal["none"] | None, _WholeOrNone] = None
    """Backfills allowed before a person must approve more [none: no limit]."""

    capacity: Annotated[int | Literal["none"] | None, _WholeOrNone] = None
    """Largest number of keys in the cache [none: no limit]."""

    capacity_bytes: Annotated[int | Literal["none"] | None, _WholeOrNone] = None
    """Largest total size of the objects in the cache, for a trace that has sizes [none: no limit]."""

    window: Annotated[int | None, _Whole] = None
    """Number of latest lookups over which the share of misses is measured [1000]."""

    min_lookups: Annotated[int | None, _Whole] = None
    """Lookups in the window before a backfill can start [3]."""

    backfill_evicts: Annotated[bool | None, Parameter(group=_SETTINGS, show_default=False)] = None
    """Whether a backfill may evict cached keys, or only fill free room [no]."""

    eviction: Annotated[Eviction | None, _Setting] = None
    """Which keys leave a full cache first: FIFO, LRU, SIEVE or S3-FIFO [fifo]."""

    concurrency: Annotated[int | None, _Whole] = None
    """Lookups in flight; above 1 backfills run in the background [1]."""

    selection: Annotated[SelectionName | None, _Setting] = None
    """Keys that a backfill loads: the first uncached ones of the source, or the hottest [source]."""

    successors: Annotated[int | None, _Whole] = None
    """Keys to load along with a missed key: those that missed right after it last time [0]."""

    flush_at: Annotated[int | Literal["none"] | None, _WholeOrNone] = None
    """Number of the lookup before which the cache is cleared, as by a restart [none]."""

    lookups_per_second: Annotated[float | Literal["none"] | None, _Setting] = None
    """Lookups that begin per second, at random times, as far as concurrency allows [none: at once]."""

    arrival_seed: Annotated[int | None, _Whole] = None
    """Seed of the times at which lookups begin [0]."""

    ttl: Annotated[float | Literal["none"] | None, _Setting] = None
    """Seconds that a value stays fresh [none: for ever]."""

    ttl_jitter: Annotated[float | None, _Setting] = None
    """Largest share of ttl, 0.0 to 1.0, that is cut off at random [0]."""

    ttl_seed: Annotated[int | None, _Whole] = None
    """Seed of the ttl jitter [0]."""

    stale_for: Annotated[float | None, _Setting] = None
    """Seconds after ttl in which the old value is served while the key is loaded again [0]."""

    absent_ttl: Annotated[float | Literal["none"] | None, _Setting] = None
    """Seconds for which the cache remembers that a key does not exist [none: it asks each time]."""

    def given(self) -> dict[str, Any]:
        """Return the given settings, by their names in the scenario."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {
            name: None if value == "none" else value for name, value in values.items() if value is not None
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayCommand:
    """A replay; implements `Command`."""

    job: Job
    output_format: Literal["table", "json"]
    silent: bool
    virtual_time: bool = False

    @property
    def quiet(self) -> bool:
        """Whether to print errors only."""
        return self.silent and self.job.output != STANDARD_OUTPUT

    @property
    def written(self) -> str:
        """One line about the written files."""
        paths = [path for path in (self.job.output, self.job.report) if path not in {None, STANDARD_OUTPUT}]
        return one_line(f"{' and '.join(map(str, paths))} written") if paths else ""

    def progress_bar(self) -> ProgressBar:
        """Return a bar that counts lookups."""
        return ProgressBar(None if self.silent else sys.stderr)

    def run(self, progress: Callable[[int, int], None], /) -> Report:
        """Replay the scenario and write its summary."""
        if self.virtual_time:
            return run_in_virtual_time(self.job, progress)
        return anyio.run(run, self.job, progress)

    def tell(self, report: Report, /) -> None:
        """Print the table, or the summary itself."""
        if self.job.output == STANDARD_OUTPUT:
            sys.stdout.buffer.write(report.content)
        elif self.output_format == "json":
            sys.stdout.buffer.write(report.content)
            say(self.written)
        else:
            for taken_for in report.taken_for:
                print(one_line(taken_for))
            print_table(report.summary, sys.stdout)
            for cause, count in report.causes:
                print(one_line(f"failed: {count:,} times {cause}"))
            for note in report.summary.get("notes", ()):
                print(f"note: {note}")
            print(self.written)


def replay(  # noqa: PLR0913 - each is an option
    *,
    input: Annotated[str, Parameter(name="--input", allow_leading_hyphen=True)],  # noqa: A002 - its name is given
    output: Annotated[str, Parameter(name="--output", allow_leading_hyphen=True)],
    format: Literal["table", "json"] = "table",  # noqa: A002 - as above
    quiet: Annotated[bool, Parameter(negative=())] = False,
    results_limit: Annotated[int, Parameter(converter=integer)] = 1000,
    report: str | None = None,
    journal: str | None = None,
    virtual_time: Annotated[bool, Parameter(negative=())] = False,
    max_failed: float = 0.5,
    overrides: Annotated[Overrides | None, Parameter(name="*")] = None,
) -> ReplayCommand:
    """Replay the lookups of a scenario through a cache that backfills itself.

    Reads the scenario, looks up each key in turn, and writes a summary:
    hits, misses, backfills, and their cost for the source.

    Parameters
    ----------
    input:
        The scenario: JSON or TOML, under any file name; - is standard input.
    output:
        The summary, JSON; an older one is replaced once the new one is complete; - is standard output.
    format:
        What to print: a table, or the summary itself as JSON.
    quiet:
        Print errors only.
    results_limit:
        Largest number of lookups for which the summary lists each result.
    report:
        A page for the browser, HTML: hit rate over time, misses by cause, backfills and their cost;
        needs the extra "report".
    journal:
        A file of hot keys, for selection history: read before the replay, written after it.
    virtual_time:
        Let time jump from one event to the next: an hour takes seconds, and every run is the same.
    max_failed:
        Largest share of lookups that may fail, 0 to 1; if more do, the run has failed.
    """
    given = overrides.given() if overrides is not None else {}
    job = Job(
        scenario=input,
        output=output,
        overrides=given,
        results_limit=results_limit,
        journal=journal,
        report=report,
        max_failed=max_failed,
    )
    return ReplayCommand(job=job, output_format=format, silent=quiet, virtual_time=virtual_time)
