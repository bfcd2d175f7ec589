"""Read and check all that a replay needs, before its first lookup."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from async_backfill._common.validation import real, whole
from async_backfill._runner.logs.pieces import STANDARD_INPUT, name_of, read_standard_input
from async_backfill._runner.output import STANDARD_OUTPUT, check_outputs
from async_backfill._runner.replay.arrivals import arrival_times
from async_backfill._runner.replay.course import Course
from async_backfill._runner.replay.failures import Failures
from async_backfill._runner.replay.held_journal import HeldJournal
from async_backfill._runner.scenario.build import files_of, make_cache
from async_backfill._runner.scenario.decode import decode
from async_backfill._runner.scenario.document import parse
from async_backfill._runner.scenario.first_answer import SourceFailedError
from async_backfill._runner.scenario.loading import load_lookups, with_entries
from async_backfill._runner.scenario.model import kind_of, name_in_scenario
from async_backfill._runner.scenario.opening import open_scenario
from async_backfill.backfill.journal_file import JournalFile
from async_backfill.errors import ConfigurationError, ScenarioError
from async_backfill.sources._rows.tables import read_text, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AsyncExitStack

    from async_backfill._cache import BackfillCache
    from async_backfill._runner.scenario.environment import Secrets
    from async_backfill._runner.scenario.model import Settings
    from async_backfill._runner.scenario.requests import Requests
    from async_backfill.contracts import Clock

_MOST_TEXT: Final = 1 << 26


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The scenario file to replay, the files to write, and settings that override the scenario's.

    ``overrides``
        settings by their names in the scenario; they win over the file.
    ``results_limit``
        the largest number of lookups for which the summary lists each result.
    ``report``
        the page to write; ``None`` writes none.
    ``journal``
        a file of hot keys, read before the replay and written after it.
    ``max_failed``
        the largest share of lookups that may fail, 0.0 to 1.0; if more do, the run has failed.
    """

    scenario: str
    output: str
    overrides: Mapping[str, Any] = field(default_factory=dict)
    results_limit: int = 1000
    journal: str | None = None
    report: str | None = None
    max_failed: float = 0.5

    def __post_init__(self) -> None:
        whole("results_limit", self.results_limit, least=0)
        if self.report == STANDARD_OUTPUT:
            raise ConfigurationError("report", "cannot be printed, expected the path of a file")
        real("max_failed", self.max_failed, least=0.0, most=1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The parts of a replay, read and checked; ``source`` is the kind of its source."""

    job: Job
    cache: BackfillCache[Any, Any]
    lookups: Requests
    arrivals: Iterator[float] | None
    settings: Settings
    keep: bool
    journal: HeldJournal | None
    taken_for: Sequence[str]
    hidden: Callable[[str], str]
    source: str
    course: Course | None
    failures: Failures


async def prepare(
    job: Job, resources: AsyncExitStack | None, secrets: Secrets, virtual_clock: Clock | None = None
) -> Prepared:
    """Return the parts of the replay that the scenario describes.

    :param resources: closes what is opened; ``None`` refuses a scenario that needs something opened.
    :param secrets: remembers what was taken from the environment.
    :param virtual_clock: the clock of a replay in virtual time.
    """
    name = name_of(job.scenario)
    scenario = decode(parse(await _text_of(job.scenario), name), name)
    folder = Path(job.scenario).parent
    reads = [Path(job.scenario), *files_of(scenario, folder, secrets)]
    outputs = {"--output": job.output, "--report": job.report, "--journal": job.journal}
    await check_outputs(outputs, reads=reads)
    settings = msgspec.structs.replace(scenario.settings, **job.overrides)
    journal = None if job.journal is None else JournalFile(job.journal)
    held = None if journal is None else await HeldJournal.of(journal)
    taken_for: list[str] = []
    clocks = {} if virtual_clock is None else {"clock": virtual_clock, "wall_clock": virtual_clock}
    try:
        scenario = await with_entries(scenario, folder)
        live, key_type = await open_scenario(scenario, folder, resources, secrets, told=taken_for.append)
        arrivals = arrival_times(settings.lookups_per_second, seed=settings.arrival_seed)
        lookups = await load_lookups(scenario, folder, key_type, taken_for=taken_for.append)
        if virtual_clock is None:  # in real time a trace would take as long as it took
            lookups = replace(lookups, times=None, ttls=None)
        elif arrivals is None and lookups.times is not None:
            arrivals = iter(lookups.times)
        expires = settings.ttl is not None or lookups.ttls is not None
        course = None if job.report is None else Course(len(lookups), expires=expires)
        observers = () if course is None else (course,)
        cache = make_cache(live, settings, journal=held, observers=observers, requests=lookups, **clocks)
    except ConfigurationError as error:
        raise ScenarioError(f"{_place_of(error.setting, job)}: {error.problem}") from error
    except (ScenarioError, SourceFailedError) as error:
        raise type(error)(f"{name}: {error}") from error
    return Prepared(
        job=job,
        cache=cache,
        lookups=lookups,
        arrivals=arrivals,
        settings=settings,
        keep=len(lookups) <= job.results_limit,
        journal=held,
        taken_for=taken_for,
        hidden=secrets.hidden,
        failures=Failures(secrets.hidden),
        source=kind_of(scenario.source),
        course=course,
    )


async def _text_of(scenario: str) -> str:
    if scenario != STANDARD_INPUT:
        return await read_text(scenario, _MOST_TEXT)
    return text_of(name_of(scenario), await read_standard_input(_MOST_TEXT))


def _place_of(setting: str, job: Job) -> str:
    """Return the option or path where ``setting``, a name of the library, was given."""
    name = name_in_scenario(setting)
    if name in job.overrides:
        return f"--{name.replace('_', '-')}"
    return f"{name_of(job.scenario)}: $.{name}"
