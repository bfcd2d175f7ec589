"""Read the keys and the lookups of a scenario, for trials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from async_backfill._runner.scenario.build import load_entries, make_cache, make_source
from async_backfill._runner.scenario.first_answer import SourceFailedError, given_key_type, key_type_of
from async_backfill._runner.scenario.held import hold
from async_backfill._runner.scenario.loading import load_lookups, with_entries
from async_backfill._runner.scenario.model import LiveSpec, MappingSpec, SimulatedSpec, name_in_scenario
from async_backfill._runner.tuning.trial import Workload
from async_backfill.errors import ConfigurationError, ScenarioError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from async_backfill._runner.scenario.environment import Secrets
    from async_backfill._runner.scenario.model import HeldSpec, Scenario

_NO_ENTRIES: Final = MappingSpec(entries={})


async def read_workload(
    name: str, scenario: Scenario, folder: Path, secrets: Secrets
) -> tuple[Workload, list[str]]:
    """Return the whole scenario as a workload, after checking that a trial of it can run.

    With it come lines about what each file was taken for, and what was read into memory.

    :param name: the name of the scenario, for errors.
    :param secrets: remembers what was taken from the environment.
    :raises ScenarioError: when something in it cannot be used.
    :raises SourceFailedError: when its source cannot answer.
    """
    if scenario.settings.capacity_bytes is not None:
        raise ScenarioError(f"{name}: $.capacity_bytes: bounds bytes, and tune counts keys: leave it out")
    spec: HeldSpec = _NO_ENTRIES
    entries: Mapping[Any, Any]
    told: list[str] = []
    try:
        scenario = await with_entries(scenario, folder)
        if isinstance(scenario.source, LiveSpec):
            entries, line = await hold(scenario.source, folder, secrets, values=False)
            told.append(f"source: {line}")
        else:
            spec = scenario.source
            entries = await load_entries(spec, folder)
        make_cache(make_source(spec, entries), scenario.settings)
        key_type = key_type_of(next(iter(entries), None), given_key_type(scenario.source))
        requests = await load_lookups(scenario, folder, key_type, taken_for=told.append)
    except ConfigurationError as error:
        place = f"$.{name_in_scenario(error.setting)}"
        raise ScenarioError(f"{name}: {place}: {error.problem}") from error
    except (ScenarioError, SourceFailedError) as error:
        raise type(error)(f"{name}: {error}") from error
    # One object for each key: less to send and to keep, and its hash is computed once.
    names = {key: key for key in entries}
    same = [names.setdefault(key, key) for key in requests.keys]
    # Trials need the keys only, so the entries are not sent.
    bare = msgspec.structs.replace(spec, entries=None) if isinstance(spec, SimulatedSpec) else _NO_ENTRIES
    absent = sum(key not in entries for key in same)
    workload = Workload(
        spec=bare, keys=list(entries), lookups=same, share=1.0, total=len(same), absent=absent
    )
    return workload, told
