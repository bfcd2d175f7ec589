"""The arguments of a call as a key."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from collections.abc import Hashable

_BY_PLACE: Final = frozenset({inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD})


class Arguments:
    """From the arguments that fit ``signature`` to a key, and back.

    ``is_one`` says that there is one parameter: its argument is the key itself.
    """

    def __init__(self, signature: inspect.Signature) -> None:
        self.signature = signature
        kinds = [parameter.kind for parameter in signature.parameters.values()]
        self.is_one = len(kinds) == 1 and kinds[0] in _BY_PLACE

    def key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Hashable:
        """Return the key of a call, the same however its arguments are given; defaults count as given.

        :raises TypeError: when they do not fit the signature.
        """
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        named = tuple(sorted(bound.kwargs.items()))
        return cast("Hashable", bound.args[0]) if self.is_one else (bound.args, named)

    def given(self, key: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments, by place and by name, of the call that ``key`` stands for."""
        if self.is_one:
            return (key,), {}
        args, named = key
        return args, dict(named)

    def of_method(self) -> Arguments:
        """Return the arguments without the first one, which Python gives to a method."""
        parameters = list(self.signature.parameters.values())
        if parameters[0].kind in _BY_PLACE:
            parameters = parameters[1:]
        return Arguments(self.signature.replace(parameters=parameters))
