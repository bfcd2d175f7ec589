"""Tune the settings of a scenario file, and write a report and a plot."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from async_backfill._common.extras import needed_by
from async_backfill._common.validation import real, whole
from async_backfill._runner.log_lines import log_lines
from async_backfill._runner.output import check_outputs, write_atomically
from async_backfill._runner.scenario.build import files_of
from async_backfill._runner.scenario.decode import decode
from async_backfill._runner.scenario.document import parse
from async_backfill._runner.scenario.environment import Secrets
from async_backfill._runner.tuning.grid import Extent
from async_backfill._runner.tuning.reading import read_workload
from async_backfill._runner.tuning.report import Sample, Tuning, encode
from async_backfill._runner.tuning.sampling import sampled
from async_backfill._runner.tuning.search import choose, search
from async_backfill._runner.tuning.workers import open_workers
from async_backfill.errors import ConfigurationError, ScenarioError
from async_backfill.sources._rows.tables import read_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from async_backfill._runner.scenario.model import Settings
    from async_backfill._runner.tuning.trial import Result, Workload
    from async_backfill._runner.tuning.workers import Workers


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneJob:
    """The scenario to tune, the effort, and the files to write.

    ``output``, ``plot``
        the report and the plot; ``None`` writes none.
    ``jobs``, ``trials``
        the number of worker processes, and the largest number of settings to try.
    ``sample``
        the share of the keys to replay, above 0.0; ``None`` replays all.
    ``check``
        whether the settings worth choosing are also replayed in full, after a sample.
    """

    scenario: str
    output: str | None = None
    plot: str | None = None
    jobs: int
    trials: int = 60
    sample: float | None = None
    check: bool = False

    def __post_init__(self) -> None:
        whole("jobs", self.jobs, least=1)
        whole("trials", self.trials, least=1)
        if self.sample is not None and real("sample", self.sample, least=0.0, most=1.0) == 0.0:
            raise ConfigurationError("sample", "0.0 is not above 0: no key would be in the sample")
        if self.check and self.sample is None:
            raise ConfigurationError("check", "needs --sample: without a sample there is nothing to check")


async def tune(job: TuneJob, progress: Callable[[int, int], None]) -> Tuning:
    """Try settings on the lookups of a scenario, write the result, and return it.

    :param progress: a function that is called now and then with the lookups replayed and those planned.
    :raises ScenarioError: when the scenario, a file it names, a setting or an output cannot be used.
    :raises SourceFailedError: when the source cannot answer.
    :raises WorkerError: when a worker process dies.
    :raises OutputError: when writing fails in spite of the check before.
    """
    secrets = Secrets()
    with log_lines(secrets.hidden):
        try:
            return await _tune(job, secrets, progress)
        except BaseException as error:
            secrets.hide_in(error)
            raise


async def _tune(job: TuneJob, secrets: Secrets, progress: Callable[[int, int], None]) -> Tuning:
    draw = None if job.plot is None else _load_plot()
    scenario = decode(parse(await read_text(job.scenario), job.scenario), job.scenario)
    folder = Path(job.scenario).parent
    reads = [Path(job.scenario), *files_of(scenario, folder, secrets)]
    await check_outputs({"--output": job.output, "--plot": job.plot}, reads=reads)
    base = msgspec.structs.replace(scenario.settings, concurrency=1)
    workload, told = await read_workload(job.scenario, scenario, folder, secrets)
    tuning = replace(await _tuned(job, base, workload, progress), taken_for=told)
    if job.output is not None:
        await write_atomically(job.output, encode(tuning))
    if job.plot is not None and draw is not None:
        await write_atomically(job.plot, draw(tuning))
    return tuning


async def _tuned(
    job: TuneJob, base: Settings, workload: Workload, progress: Callable[[int, int], None]
) -> Tuning:
    replayed = workload if job.sample is None else _sampled(workload, job.sample)
    looked_up = set(workload.lookups)
    extent = Extent(wanted=len(looked_up.intersection(workload.keys)), in_source=len(workload.keys))
    count = _Count(progress)
    async with open_workers(replayed, jobs=min(job.jobs, job.trials)) as workers:
        tried = await search(
            base, extent, trials=job.trials, run=lambda each: _run(workers, each, replayed, count)
        )
    own, chosen = tried[0], choose(tried, base)
    sample = None
    if job.sample is not None:
        error = None
        if job.check:
            full = await _replayed_in_full(job, workload, [own, *chosen], count)
            error = max(
                abs(one.hit_rate - other.hit_rate) for one, other in zip([own, *chosen], full, strict=True)
            )
            own, chosen = full[0], full[1:]
        sample = Sample(
            share=job.sample, lookups=len(replayed.lookups), keys=len(set(replayed.lookups)), error=error
        )
    return Tuning(
        lookups=workload.total,
        keys=len(looked_up),
        own=own,
        tried=tried,
        chosen=chosen,
        sample=sample,
        all_wanted=extent.wanted == extent.in_source,
    )


async def _replayed_in_full(
    job: TuneJob, workload: Workload, results: Sequence[Result], count: _Count
) -> list[Result]:
    settings = list(dict.fromkeys(result.settings for result in results))
    async with open_workers(workload, jobs=min(job.jobs, len(settings))) as workers:
        full = dict(zip(settings, await _run(workers, settings, workload, count), strict=True))
    return [full[result.settings] for result in results]


async def _run(
    workers: Workers, settings: Sequence[Settings], workload: Workload, count: _Count
) -> list[Result]:
    return await workers.run(settings, count.of(len(settings), len(workload.lookups)))


class _Count:
    """A running total of lookups over all rounds of trials."""

    def __init__(self, progress: Callable[[int, int], None]) -> None:
        self._progress = progress
        self._before = 0

    def of(self, trials: int, lookups: int) -> Callable[[int], None]:
        """Return a function that reports the finished trials of a round of ``trials``, ``lookups`` each."""
        before, self._before = self._before, self._before + trials * lookups
        total = self._before
        self._progress(before, total)
        return lambda done: self._progress(before + done * lookups, total)


def _sampled(workload: Workload, share: float) -> Workload:
    lookups = sampled(workload.lookups, share)
    if workload.lookups and not lookups:
        raise ScenarioError(
            f"--sample: a sample of {share:g} has none of the looked-up keys: use a larger share"
        )
    return replace(workload, keys=sampled(workload.keys, share), lookups=lookups, share=share)


def _load_plot() -> Callable[[Tuning], bytes]:
    """Return the function that draws a `Tuning`.

    :raises MissingExtraError: when matplotlib is not installed.
    """
    with needed_by("--plot", "report", "matplotlib"):
        from async_backfill._runner.tuning.plot import draw  # noqa: PLC0415 - the extra is optional
    return draw
