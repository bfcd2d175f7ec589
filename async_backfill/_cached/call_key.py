"""Turn the arguments of a call into a cache key, and back."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from collections.abc import Hashable

_BY_PLACE: Final = frozenset({inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD})


class Arguments:
    """Makes keys of the arguments that fit ``signature``, and arguments of keys.

    ``is_one`` is true for a single positional parameter: then its argument is the key itself.
    """

    def __init__(self, signature: inspect.Signature) -> None:
        self.signature = signature
        kinds = [parameter.kind for parameter in signature.parameters.values()]
        self.is_one = len(kinds) == 1 and kinds[0] in _BY_PLACE

    def key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Hashable:
        """Return the key of a call.

        It is the same for positional and for keyword arguments, and a default counts as given.

        :raises TypeError: when the arguments do not fit the signature.
        """
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        named = tuple(sorted(bound.kwargs.items()))
        return cast("Hashable", bound.args[0]) if self.is_one else (bound.args, named)

    def given(self, key: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the positional and the keyword arguments of the call that ``key`` stands for."""
        if self.is_one:
            return (key,), {}
        args, named = key
        return args, dict(named)

    def of_method(self) -> Arguments:
        """Return the same without the first parameter, the instance that Python passes to a method."""
        parameters = list(self.signature.parameters.values())
        if parameters[0].kind in _BY_PLACE:
            parameters = parameters[1:]
        return Arguments(self.signature.replace(parameters=parameters))
