"""pydantic models as JSON; the only module that imports pydantic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, TypeAdapter

from async_backfill._envelopes.values.same import is_same

if TYPE_CHECKING:
    from collections.abc import Sequence


class Models:
    """Makes JSON of values of type ``model``, and values of JSON."""

    def __init__(self, model: Any) -> None:
        self._adapter: TypeAdapter[Any] = TypeAdapter(model)

    def encode(self, value: object) -> bytes:
        """Return ``value`` as JSON.

        :raises TypeError: when it would not come back as it was.
        """
        # Without the fields that were not set, because a value says which those are; a default that is not
        # the same each time, such as the time of day, must be written.
        for exclude_unset in (True, False):
            payload = self._adapter.dump_json(
                value, by_alias=True, exclude_unset=exclude_unset, warnings="error"
            )
            if is_same(value, self._adapter.validate_json(payload), _parts_of):
                return payload
        raise TypeError("pydantic would return it as something else than it was")

    def decode(self, payload: bytes) -> Any:
        """Return the value in ``payload``; raises `ValueError` when it is not valid."""
        return self._adapter.validate_json(payload)


def _parts_of(value: object) -> Sequence[object] | None:
    if not isinstance(value, BaseModel):
        return None
    fields = [getattr(value, name) for name in type(value).model_fields]
    return [*fields, value.model_fields_set, value.__pydantic_extra__, value.__pydantic_private__]
