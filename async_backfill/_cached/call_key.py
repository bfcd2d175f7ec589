"""Turn the arguments of a call into a cache key, and back."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final, cast

from async_backfill._common.typed_key import TypedKey

if TYPE_CHECKING:
    from collections.abc import Hashable

_BY_PLACE: Final = frozenset({inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD})


class Arguments:
    """Makes keys of the arguments that fit ``signature``, and arguments of keys.

    ``is_one`` is true for a single positional parameter: then its argument is the key itself. With ``typed``
    arguments that are equal, but of different types, are different; only their own types count.
    """

    def __init__(self, signature: inspect.Signature, *, typed: bool = False) -> None:
        self.signature = signature
        self._typed = typed
        kinds = [parameter.kind for parameter in signature.parameters.values()]
        self._has_one = len(kinds) == 1 and kinds[0] in _BY_PLACE
        self.is_one = self._has_one and not typed

    def key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Hashable:
        """Return the key of a call.

        It is the same for positional and for keyword arguments, and a default counts as given.

        :raises TypeError: when the arguments do not fit the signature.
        """
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        given, named = bound.args, sorted(bound.kwargs.items())
        if self._typed:
            given = tuple(TypedKey(value) for value in given)
            named = [(name, TypedKey(value)) for name, value in named]
        return cast("Hashable", given[0]) if self._has_one else (given, tuple(named))

    def given(self, key: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the positional and the keyword arguments of the call that ``key`` stands for."""
        args, named = ((key,), ()) if self._has_one else key
        if self._typed:
            args, named = [value.key for value in args], [(name, value.key) for name, value in named]
        return tuple(args), dict(named)

    def unhashable(self, key: Any) -> tuple[str, object, TypeError] | None:
        """Return the argument for ``key`` that cannot be hashed: its name, itself and the error."""
        args, named = self.given(key)
        for name, value in self.signature.bind(*args, **named).arguments.items():
            try:
                hash(value)
            except TypeError as error:
                return name, value, error.with_traceback(None)
        return None

    def of_method(self) -> Arguments:
        """Return the same without the first parameter, the instance that Python passes to a method."""
        parameters = list(self.signature.parameters.values())
        if parameters and parameters[0].kind in _BY_PLACE:
            parameters = parameters[1:]
        return Arguments(self.signature.replace(parameters=parameters), typed=self._typed)
