"""Load the lookups of a scenario, from wherever they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from async_backfill._common.written_keys import DESCRIBED
from async_backfill._runner.scenario.key_file import FileLookups, read_lookups
from async_backfill._runner.scenario.model import KeyFile, SimulatedSpec, ZipfSpec
from async_backfill._runner.scenario.requests import Requests
from async_backfill._runner.scenario.typed_lookups import typed_lookups
from async_backfill._runner.scenario.zipf import zipf_keys
from async_backfill.errors import ConfigurationError, ScenarioError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from async_backfill._common.written_keys import KeyTypeName
    from async_backfill._runner.scenario.model import Scenario


async def load_lookups(
    scenario: Scenario,
    folder: Path,
    key_type: KeyTypeName = "str",
    *,
    taken_for: Callable[[str], object] = lambda _: None,
) -> Requests:
    """Return the lookups, in order, each with a key of ``key_type``.

    :param taken_for: a function that is called with a line about what a file of lookups was taken for.
    :raises ScenarioError: when their file cannot be used, they cannot be generated, or one is no such key.
    """
    lookups = scenario.lookups
    if isinstance(lookups, ZipfSpec):
        if key_type != "str":
            expected = DESCRIBED[key_type]
            raise ScenarioError(f"$.lookups.kind: makes keys such as key_0, the source expects {expected}")
        try:
            return Requests(keys=zipf_keys(lookups))
        except ConfigurationError as error:
            raise ScenarioError(f"$.lookups.{error.setting}: {error.problem}") from error
    if isinstance(lookups, KeyFile):
        read = await read_key_file(lookups, folder)
        taken_for(f"lookups: {lookups.file}: {read.taken_for}")
        before = ":" if read.by_line else ", lookup "
        keys = typed_lookups(
            read.keys, key_type, lambda number: f"$.lookups: {folder / lookups.file}{before}{number + 1}"
        )
        return Requests(keys=keys, times=read.times, sizes=read.sizes, ttls=read.ttls)
    return Requests(keys=typed_lookups(lookups, key_type, "$.lookups[{}]".format))


async def with_entries(scenario: Scenario, folder: Path) -> Scenario:
    """Return ``scenario`` with the entries of a source that has the keys that are looked up.

    :raises ScenarioError: as `load_lookups`.
    """
    spec = scenario.source
    if not isinstance(spec, SimulatedSpec) or spec.keys != "lookups":
        return scenario
    keys = dict.fromkeys((await load_lookups(scenario, folder)).keys)
    entries = {key: number for number, key in enumerate(keys)}
    source = msgspec.structs.replace(spec, keys=None, entries=entries)
    return msgspec.structs.replace(scenario, source=source)


async def read_key_file(lookups: KeyFile, folder: Path) -> FileLookups:
    """Return the keys in a file of lookups, and what it was taken for.

    :raises ScenarioError: when it cannot be used; names its place in the scenario.
    """
    try:
        return await read_lookups(folder / lookups.file, lookups)
    except ScenarioError as error:
        raise ScenarioError(f"$.lookups: {error}") from error
    except ConfigurationError as error:
        raise ScenarioError(f"$.lookups.{error.setting}: {error.problem}") from error
