"""Contract tests for a source whose keys can fail one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_backfill.contracts import K, Source, V
from async_backfill.outcomes import Failed
from async_backfill.testing._claims import same
from async_backfill.testing._source_contract import SourceContract

if TYPE_CHECKING:
    from collections.abc import Sequence


class PartialFailureContract(SourceContract[K, V]):
    """Tests of the promises of `Source` for keys that fail alone, with a `Failed` in the answer."""

    # An ability that only some sources have is a suite of its own, never a skip: see decision 42 in notes.md.

    failing: Sequence[K]
    """Keys that the source fails to load, each time: one or more."""

    async def test_a_key_that_fails_spares_the_others(self, source: Source[K, V]) -> None:
        answer = await self._load(source, (*self.failing, *self.known))
        failed = {key for key, outcome in answer.items() if isinstance(outcome, Failed)}
        same(failed, set(self.failing), "the failing keys have failed, and no others")
        found = {key: value for key, value in answer.items() if key not in failed}
        same(found, dict(self.known), "beside failing keys the others have their values")

    async def test_a_key_that_fails_is_not_missing(self, source: Source[K, V]) -> None:
        for key in self.failing:
            answer = await self._load(source, (key,))
            same([type(outcome) for outcome in answer.values()], [Failed], "a failing key alone has failed")
