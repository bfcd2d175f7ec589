"""Read the lookups of a scenario as keys of the type that its source has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from async_backfill._common.written_keys import DESCRIBED, key_reader
from async_backfill._runner.scenario.coded_keys import CodedKeys, KeyCoder
from async_backfill._runner.wording import shown
from async_backfill.errors import ScenarioError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from async_backfill._common.written_keys import KeyTypeName


def typed_lookups(
    lookups: Sequence[str | int], key_type: KeyTypeName, place: Callable[[int], str]
) -> Sequence[Any]:
    """Return ``lookups`` as keys of ``key_type``, equal ones as one object: they need the memory of one.

    :param place: returns the place of a lookup, by its position from 0, for an error.
    :raises ScenarioError: for the first lookup that cannot be such a key.
    """
    if not isinstance(lookups, CodedKeys):
        coder = KeyCoder()
        coder.take(lookups)
        lookups = coder.coded()
    read = key_reader(key_type)
    keys: list[Any] = []
    same: dict[Any, Any] = {}
    for code, lookup in enumerate(lookups.keys):
        key: object | None
        if isinstance(lookup, str):
            key = lookup if key_type == "str" else read(lookup)
        else:
            key = None if key_type == "str" else read(str(lookup))
        if key is None:
            expected = DESCRIBED[key_type]
            number = lookups.codes.index(code)
            raise ScenarioError(
                f"{place(number)}: {shown(lookup)} cannot be a key of the source, expected {expected}"
            )
        keys.append(same.setdefault(key, key))
    return CodedKeys(keys, lookups.codes)
