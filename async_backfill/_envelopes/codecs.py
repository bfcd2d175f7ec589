"""Codecs for values that a far store does not take by itself: of pydantic, and of functions of yours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic

from async_backfill._common.extras import needed_by
from async_backfill._envelopes.values.same import is_same
from async_backfill._envelopes.values.typed import shortened, type_text
from async_backfill.contracts import V

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FunctionCodec", "PydanticCodec"]


class FunctionCodec(Generic[V]):
    """A codec of two functions of yours: ``RedisStore(..., codec=FunctionCodec(dump, load, name="price"))``.

    Each value is decoded once before it is kept, and refused unless it comes back as it was. A value of a
    class of your own is compared with ``==``.

    :param encode: returns a value as bytes; what it raises refuses the value.
    :param decode: returns the value that ``encode`` made into bytes; what it raises makes them a miss.
    :param name: the name of what ``encode`` writes, of 1 to 100 printable characters.
    :param version: its version; what was written with another one is not decoded.
    """

    def __init__(
        self, encode: Callable[[V], bytes], decode: Callable[[bytes], V], *, name: str, version: int = 1
    ) -> None:
        self._encode = encode
        self.decode = decode
        self.name = name
        self.version = version

    def encode(self, value: V, /) -> bytes:
        """Return ``value`` as bytes.

        :raises TypeError: when it would not come back as it was.
        """
        payload = self._encode(value)
        if not is_same(value, self.decode(payload)):
            raise TypeError(f"the codec {self.name} would return it as something else")
        return payload


class PydanticCodec(Generic[V]):
    """A codec of pydantic models; needs the extra ``pydantic``: ``codec=PydanticCodec(User)``.

    A value travels as JSON and is validated when it is read. Each is read once before it is kept, and refused
    unless it comes back as it was, with the same fields set: what a model leaves out of its JSON, or makes
    anew, would be lost.

    :param model: a model, or any type that pydantic validates, such as ``User | None``.
    :param version: a number to raise when the same JSON means something else; what was written with another
        one is not decoded.
    """

    def __init__(self, model: type[V] | Any, *, version: int = 1) -> None:
        with needed_by("PydanticCodec", "pydantic", "pydantic"):
            from async_backfill._envelopes.values.models import Models  # noqa: PLC0415 - the extra is optional
        self._models = Models(model)
        self.name = shortened(f"pydantic {type_text(model)}")
        self.version = version

    def encode(self, value: V, /) -> bytes:
        """Return ``value`` as JSON.

        :raises TypeError: when it would not come back as it was.
        """
        return self._models.encode(value)

    def decode(self, payload: bytes, /) -> Any:
        """Return the value in ``payload``; raises `ValueError` when it is not valid."""
        return self._models.decode(payload)
