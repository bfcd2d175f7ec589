"""The types that keys of a log can be turned into."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal, TypeAlias
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

KeyTypeName: TypeAlias = Literal["str", "int", "uuid"]

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,1000}")
_UUID: Final = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}|[0-9A-Fa-f]{32}")


def typed_keys(texts: Sequence[str], name: KeyTypeName) -> Sequence[Hashable]:
    """Return those of ``texts`` that are keys of the type ``name``, as such."""
    match name:
        case "str":
            return texts
        case "int":
            return [int(text) for text in texts if _INTEGER.fullmatch(text)]
        case "uuid":
            return [UUID(text) for text in texts if _UUID.fullmatch(text)]
