"""Ask a source for its first key, before a replay: it shows the type of the keys, and whether it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from async_backfill._common.written_keys import DESCRIBED, name_of_type
from async_backfill._runner.scenario.model import FileSpec, SimulatedSpec, SQLSpec, TableSpec
from async_backfill._runner.wording import one_line
from async_backfill.errors import AsyncBackfillError, ScenarioError

if TYPE_CHECKING:
    from async_backfill._common.written_keys import KeyTypeName
    from async_backfill._runner.scenario.model import SourceSpec
    from async_backfill.contracts import Scan, Source


class SourceFailedError(AsyncBackfillError):
    """The source of a scenario failed as a whole; nothing was written."""


async def first_key(source: Source[Any, Any], scan: Scan[Any]) -> object | None:
    """Return the first key of ``scan``, or ``None`` when it has none; its value can be loaded.

    :raises SourceFailedError: when the source says that it cannot answer at all.
    """
    try:
        page = await scan.scan(None, 1)
        if page.keys:
            await source.load_many(page.keys[:1])
    except Exception as error:
        what = one_line(str(error)) or type(error).__name__
        raise SourceFailedError(f"$.source: {what}; nothing was written") from error
    return page.keys[0] if page.keys else None


def key_type_of(key: object | None, given: KeyTypeName | None) -> KeyTypeName:
    """Return the type of the keys of a source, whose first one is ``key``.

    :param given: the type that the scenario says.
    :raises ScenarioError: when the key has another type, or one that lookups cannot be read as.
    """
    if key is None:
        return given or "str"
    name = name_of_type(type(key))
    if name is None:
        known = ", ".join(DESCRIBED.values())
        raise ScenarioError(
            f"$.source.key: its keys are of type {type(key).__name__}, expected one of: {known}"
        )
    if given is not None and name != given:
        raise ScenarioError(f"$.source.key_type: is {given}, but the keys are {name}: leave it out")
    return name


def given_key_type(spec: SourceSpec) -> KeyTypeName | None:
    """Return the type of the keys that ``spec`` says, if it says one."""
    if isinstance(spec, SimulatedSpec):
        return None if spec.table is None else spec.table.key_type
    return spec.key_type if isinstance(spec, (TableSpec, FileSpec, SQLSpec)) else None
