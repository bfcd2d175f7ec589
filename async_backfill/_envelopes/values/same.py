"""Whether two values are the same: in type and content, all the way down."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from datetime import datetime, time
from decimal import Decimal
from itertools import repeat
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Parts = Callable[[Any], "Sequence[object] | None"]

_PLAIN: Final = frozenset({type(None), bool, int, str, bytes})
_BY_REPR: Final = (float, datetime, time, Decimal)
"""Types in which equal values may differ: NaN is not equal to itself, -0.0 is to 0.0, Decimal("1.0") to
Decimal("1.00"), and a time to the same moment in another zone."""


def no_parts(_: object) -> None:
    """Return ``None``: no value has other parts than those that `is_same` knows."""


def is_same(one: Any, other: Any, parts_of: Parts = no_parts) -> bool:
    """Return whether ``one`` and ``other`` are equal and of the same types, with everything they hold.

    What is no container is compared with ``==``, so a class that does not define it is never the same.

    :param parts_of: returns what a value of other classes holds; ``None`` for those that it does not know.
    """
    kind = type(one)
    if kind is not type(other):
        return False
    if kind in _PLAIN:
        return bool(one == other)
    if isinstance(one, _BY_REPR):
        return repr(one) == repr(other)
    if isinstance(one, set | frozenset):
        twins = {part: part for part in other}
        return len(one) == len(other) and all(
            part in twins and is_same(part, twins[part], parts_of) for part in one
        )
    ours, theirs = _parts(one, parts_of), _parts(other, parts_of)
    if ours is None or theirs is None:
        return bool(one == other)
    return _are_same(ours, theirs, parts_of)


def _are_same(ours: Sequence[object], theirs: Sequence[object], parts_of: Parts) -> bool:
    if len(ours) != len(theirs):
        return False
    kinds = list(map(type, ours))
    if _PLAIN.issuperset(kinds):
        return ours == theirs and kinds == list(map(type, theirs))
    return all(map(is_same, ours, theirs, repeat(parts_of)))


def _parts(value: Any, parts_of: Parts) -> Sequence[object] | None:
    """Return what ``value`` holds, in order; ``None`` when it is no container."""
    if isinstance(value, list | tuple):
        return value
    if isinstance(value, dict):
        return [*value, *value.values()]
    kind = type(value)
    names = getattr(kind, "__struct_fields__", None)  # of msgspec
    if names is None and is_dataclass(kind):
        names = [field.name for field in fields(kind)]
    elif names is None:
        names = [field.name for field in getattr(kind, "__attrs_attrs__", ())] or None
    return parts_of(value) if names is None else [getattr(value, name) for name in names]
