"""Contract tests for a source that says how large it is and how it fares."""

from __future__ import annotations

from typing import Any, ClassVar

from async_backfill._common.key_codec import KeyCodec
from async_backfill.contracts import SourceFacts
from async_backfill.errors import ConfigurationError
from async_backfill.testing._claims import holds, same


class SourceFactsContract:
    """Tests of the promises of `SourceFacts`; inherit from it, and give the fixture ``facts``, the source."""

    count: ClassVar[int]
    """The number of rows of the source."""

    tolerance: ClassVar[float] = 0.0
    """The share of ``count`` by which an estimate may be wrong."""

    query: ClassVar[str | None] = None
    """A query whose answer is the number 1.5; ``None`` for a source without a database."""

    bad_queries: ClassVar[tuple[str, ...]] = ()
    """Queries that are answered with no number, with none at all, or with several."""

    async def test_a_source_says_that_it_knows_facts(self, facts: Any) -> None:
        holds("the class of the source inherits from SourceFacts", kept=SourceFacts in type(facts).__mro__)

    async def test_the_rows_are_counted_and_it_is_said_how(self, facts: Any) -> None:
        rows, how = await facts.count()
        near = abs(rows - self.count) <= self.tolerance * self.count
        holds(f"{rows} rows are said, {self.count} are there", kept=near)
        holds(f"it is said in one line how they were counted: {how!r}", kept=bool(how) and how.isprintable())

    async def test_the_schema_is_the_same_each_time(self, facts: Any) -> None:
        first = await facts.schema()
        holds(f"a schema is text or None, not {first!r}", kept=first is None or isinstance(first, str))
        same(await facts.schema(), first, "nothing has changed")

    async def test_a_lag_is_no_negative_number(self, facts: Any) -> None:
        lag = await facts.lag()
        holds(f"a lag is None or 0 or more, not {lag!r}", kept=lag is None or lag >= 0.0)

    async def test_a_middle_is_a_cursor_that_can_be_kept(self, facts: Any) -> None:
        middle = await facts.middle(None, None)
        codec = KeyCodec(exact=True)
        kept = middle if middle is None else codec.decode(codec.encode(middle))
        same(kept, middle, "a middle is the same in another process")

    async def test_a_query_is_answered_with_its_number_or_refused(self, facts: Any) -> None:
        if self.query is not None:
            same(await facts.load(self.query), 1.5, "the answer is the number")
        for query in self.bad_queries if self.query is not None else ("SELECT 1.5",):
            try:
                await facts.load(query)
            except ConfigurationError:
                continue
            holds(f"{query} raises ConfigurationError", kept=False)
