"""The command ``tune``: find good settings for the lookups of a scenario."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import anyio
from cyclopts import Parameter

from async_backfill._commands.integers import integer
from async_backfill._runner.display import ProgressBar
from async_backfill._runner.tuning.job import TuneJob
from async_backfill._runner.tuning.job import tune as run_tuning
from async_backfill._runner.tuning.table import print_choices
from async_backfill._runner.wording import one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from async_backfill._runner.tuning.report import Tuning

_Whole: Final = Parameter(converter=integer)


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneCommand:
    """A tuning; implements `Command`."""

    job: TuneJob
    quiet: bool

    def progress_bar(self) -> ProgressBar:
        """Return a bar that counts lookups."""
        return ProgressBar(None if self.quiet else sys.stderr, doing="replaying")

    def run(self, progress: Callable[[int, int], None]) -> Tuning:
        """Try the settings, and write the files."""
        return anyio.run(run_tuning, self.job, progress)

    def tell(self, tuning: Tuning) -> None:
        """Print the settings worth choosing."""
        for line in tuning.taken_for:
            print(one_line(line))
        print_choices(tuning, sys.stdout)
        if self.written:
            print(self.written)

    @property
    def written(self) -> str:
        """One line about the written files, or an empty string."""
        paths = [path for path in (self.job.output, self.job.plot) if path is not None]
        return one_line(f"{' and '.join(paths)} written") if paths else ""


def tune(
    *,
    input: Annotated[str, Parameter(name="--input")],  # noqa: A002 - the option's name is given
    output: str | None = None,
    plot: str | None = None,
    jobs: Annotated[int | None, _Whole] = None,
    trials: Annotated[int, _Whole] = 60,
    sample: float | None = None,
    check: Annotated[bool, Parameter(negative=())] = False,
    quiet: Annotated[bool, Parameter(negative=())] = False,
) -> TuneCommand:
    """Replay the lookups of a scenario under many settings, and print the few worth choosing.

    It varies capacity, eviction, miss_threshold, backfill_batch, selection,
    successors and max_backfills, starting from those of the scenario: a coarse grid first, then finer
    steps around the best. A setting is worth choosing when no other costs the source
    less with as little memory, and when it costs at least 2 % less than the
    next smaller one. The cost is the calls, and one more for each 100 keys
    read. Lookups are replayed one at a time and without latency, which changes
    no count.

    A sample keeps all or none of a key's lookups and scales the cache with them
    (SHARDS). Its figures are estimates, with the error of the hit rates.
    Batches, budgets and thresholds do not scale exactly: trust a sample
    for capacity and eviction, and check the rest with --check.

    Parameters
    ----------
    input:
        The scenario: JSON or TOML, under any file name. A file or a database is read into memory first.
    output:
        The report, JSON; an older one is replaced once the new one is complete.
    plot:
        A plot of all trials, SVG; needs the extra "report".
    jobs:
        Replays at the same time, each in a process of its own [the number of processors].
    trials:
        Largest number of settings to try.
    sample:
        Share of the keys to replay, above 0 and up to 1, such as 0.01 [all keys].
    check:
        Replay the settings worth choosing in full too, and print the error of the sample.
    quiet:
        Print errors only.
    """
    job = TuneJob(
        scenario=input,
        output=output,
        plot=plot,
        jobs=jobs if jobs is not None else os.cpu_count() or 1,
        trials=trials,
        sample=sample,
        check=check,
    )
    return TuneCommand(job=job, quiet=quiet)
