"""Options that take several values: ``--from a b`` means ``--from a --from b``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_SEVERAL: Final = ("--from", "--method", "--status")


def repeated(arguments: Sequence[str]) -> list[str]:
    """Return ``arguments`` with the option repeated before each further value of one that takes several.

    A value may be ``-``, which the library that parses them would take for an option.
    """
    found: list[str] = []
    option, is_first = "", True
    for argument in arguments:
        if argument.startswith("--"):
            option = argument if argument in _SEVERAL else ""
            is_first = True
        elif option and not is_first:
            found.append(option)
        else:
            is_first = False
        found.append(argument)
    return found
