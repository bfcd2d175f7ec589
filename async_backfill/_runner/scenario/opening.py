"""Open the source of a scenario, with its far tier (L2), and find out what type its keys have."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from async_backfill._runner.scenario.build import load_entries, make_source
from async_backfill._runner.scenario.first_answer import first_key, given_key_type, key_type_of
from async_backfill._runner.scenario.held import hold
from async_backfill._runner.scenario.live import Live, open_far, open_source
from async_backfill._runner.scenario.model import LiveSpec
from async_backfill.backfill._free_scan import FreeScan
from async_backfill.errors import ScenarioError
from async_backfill.policies import LoadPolicy
from async_backfill.sources.mapping import MappingSource

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AsyncExitStack
    from pathlib import Path

    from async_backfill._common.written_keys import KeyTypeName
    from async_backfill._runner.scenario.build import AnySource
    from async_backfill._runner.scenario.environment import Secrets
    from async_backfill._runner.scenario.model import Scenario


async def open_scenario(
    scenario: Scenario,
    folder: Path,
    resources: AsyncExitStack | None,
    secrets: Secrets,
    *,
    told: Callable[[str], object] = lambda _: None,
) -> tuple[Live, KeyTypeName]:
    """Return the source of ``scenario``, with its far tier (L2) if there is one, and the type of its keys.

    :param resources: closes what is opened; with ``None``, as for virtual time, a file or a table is read
        into memory, and a scenario that needs more than that is refused.
    :param secrets: remembers what was taken from the environment.
    :param told: a function that is called with a line about what was read into memory.
    :raises ScenarioError: when something cannot be used; names the place in the scenario.
    :raises SourceFailedError: when a source outside of this process says that it cannot answer.
    :raises MissingExtraError: when a library it needs is not installed.
    """
    spec = scenario.source
    entries: Mapping[Any, Any]
    if resources is None and scenario.store is not None:
        raise ScenarioError("$.store: works in real time only: leave out --virtual-time")
    if isinstance(spec, LiveSpec) and resources is not None:
        live = await open_source(spec, folder, resources, load_timeout=LoadPolicy().timeout, secrets=secrets)
        first = None if live.scan is None else await first_key(live.source, live.scan)
    else:
        if isinstance(spec, LiveSpec):
            entries, line = await hold(spec, folder, secrets, values=True)
            told(f"source: {line}; they take no virtual time")
            source: AnySource = MappingSource(entries)
        else:
            entries = await load_entries(spec, folder)
            source = make_source(spec, entries)
        live = Live(source=source, scan=FreeScan(source))
        first = next(iter(entries), None)
    key_type = key_type_of(first, given_key_type(spec))
    if scenario.store is not None and resources is not None:
        far = await open_far(scenario.store, key_type, resources, secrets)
        live = replace(live, far=far)
    return live, key_type
