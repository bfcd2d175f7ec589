"""One run of the main job, from the scenario file to the summary file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from async_backfill.backfill.journal_file import JournalFile
from async_backfill.errors import ConfigurationError, ScenarioError
from async_backfill.limits import whole
from async_backfill.runner.build import files_of, load_lookups, load_source, make_cache
from async_backfill.runner.decode import decode
from async_backfill.runner.document import parse
from async_backfill.runner.output import check_output, write_atomically
from async_backfill.runner.replay import replay
from async_backfill.runner.scenario import name_in_scenario
from async_backfill.runner.summary import encode, summarize
from async_backfill.sources.files import read_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from async_backfill.cache import BackfillCache
    from async_backfill.runner.scenario import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to run: the scenario file, the summary file, and what the caller decides instead of the file.

    ``overrides``
        settings by their name in the scenario; they win over the file.
    ``results_limit``
        lookups up to which the summary lists every result.
    ``journal``
        a file of hot keys, read before the replay and written after it.
    """

    scenario: str
    output: str
    overrides: Mapping[str, Any] = field(default_factory=dict)
    results_limit: int = 1000
    journal: str | None = None

    def __post_init__(self) -> None:
        whole("results_limit", self.results_limit, least=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What came of a job: the summary, and the bytes of it that were written."""

    summary: dict[str, Any]
    content: bytes


async def run(job: Job, progress: Callable[[int, int], None]) -> Report:
    """Replay the scenario of ``job`` and write its summary; nothing is written unless all went well.

    :param progress: is called now and then with the lookups begun and their number.
    :raises ScenarioError: when the scenario, a file it names, a setting or the output is unusable.
    :raises OutputError: when writing fails although it looked possible.
    """
    scenario = decode(parse(await read_text(job.scenario), job.scenario), job.scenario)
    folder = Path(job.scenario).parent
    await check_output(job.output, reads=[Path(job.scenario), *files_of(scenario, folder)])
    if job.journal is not None:
        await check_output(job.journal, reads=[Path(job.scenario), *files_of(scenario, folder)])
    settings = msgspec.structs.replace(scenario.settings, **job.overrides)
    try:
        journal = None if job.journal is None else JournalFile(job.journal)
        cache = make_cache(await load_source(scenario.source, folder), settings, journal=journal)
        lookups = await load_lookups(scenario, folder)
    except ConfigurationError as error:
        raise ScenarioError(f"{_place_of(error.setting, job)}: {error.problem}") from error
    except ScenarioError as error:
        raise ScenarioError(f"{job.scenario}: {error}") from error
    summary = await _replayed(cache, lookups, settings, job, progress)
    content = encode(summary)
    await write_atomically(job.output, content)
    return Report(summary=summary, content=content)


async def _replayed(
    cache: BackfillCache[str, Any],
    lookups: Sequence[str],
    settings: Settings,
    job: Job,
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    keep = len(lookups) <= job.results_limit
    async with cache:
        outcomes = await replay(
            cache,
            lookups,
            concurrency=settings.concurrency,
            keep=keep,
            flush_at=settings.flush_at,
            progress=progress,
        )
        results = list(zip(lookups, outcomes, strict=True)) if keep else None
        return summarize(cache.stats, cache.audit_log, settings, results=results)


def _place_of(setting: str, job: Job) -> str:
    """Return where the user gave ``setting``, which is named as in the library."""
    name = name_in_scenario(setting)
    if name in job.overrides:
        return f"--{name.replace('_', '-')}"
    return f"{job.scenario}: $.{name}"
