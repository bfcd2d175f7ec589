"""Decode the JSON of an answer into values of one type, with msgspec."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

import msgspec

from async_backfill._common.error_text import one_line
from async_backfill._common.other_keys import failures
from async_backfill.contracts import K, V
from async_backfill.errors import ConfigurationError
from async_backfill.outcomes import ABSENT, Absent, Failed
from async_backfill.sources.http._answers import AnswerError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")
_NAMED: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


class ValueReader(Generic[V]):
    """A decoder for values of ``value_type``.

    :raises ConfigurationError: when msgspec does not support the type.
    """

    def __init__(self, value_type: Any) -> None:
        try:
            self._decoder = msgspec.json.Decoder(value_type)
        except TypeError as error:
            raise ConfigurationError("value_type", str(error)) from error

    def one(self, content: bytes | msgspec.Raw, place: str) -> V:
        """Return the value whose JSON is ``content``.

        :param place: the URL of the answer, as errors show it.
        :raises AnswerError: when it is not JSON, or of another type.
        """
        return cast("V", _decode(self._decoder, content, place))

    def named(self, content: bytes, texts: Mapping[K, str], place: str) -> dict[K, V | Failed | Absent]:
        """Return the values of a JSON object whose names are the ``texts`` of the keys.

        A key without a value has failed when there are names that are no key's.

        :raises AnswerError: when it is not an object; a single value of another type fails only its key.
        """
        values = _decode(_NAMED, content, place)
        unclear = failures(texts.values(), values, other_answer(place))
        found: dict[K, V | Failed | Absent] = {}
        for key, text in texts.items():
            try:
                found[key] = self.one(values[text], place) if text in values else unclear.get(text, ABSENT)
            except AnswerError as error:
                found[key] = Failed(error)
        return found


def other_answer(place: str) -> Callable[[str], AnswerError]:
    """Return a function that makes the error of a key for which the answer of ``place`` has another one."""
    return lambda which: AnswerError(f"{place} answered for {which}")


def _decode(decoder: msgspec.json.Decoder[T], content: bytes | msgspec.Raw, place: str) -> T:
    try:
        return decoder.decode(content)
    except (ValueError, RecursionError, msgspec.DecodeError) as error:
        # msgspec shows names and values of the answer, which may be long.
        raise AnswerError(
            f"the answer of {place} is not the JSON of a value: {one_line(str(error))}"
        ) from None
