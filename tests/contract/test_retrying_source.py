"""A source that fails two of three calls keeps the promises of `Source` when it is retried."""

from __future__ import annotations

import pytest

from async_backfill.sources.mapping import MappingSource
from async_backfill.testing import SourceContract
from tests.contract.rows import MISSING, ROWS_WITH_NONE

pytest.importorskip("stamina")

from async_backfill.sources.retrying import RetryingSource


class Flickering(MappingSource):
    """Fails the first two of three calls."""

    calls = 0

    async def load_many(self, keys):
        self.calls += 1
        if self.calls % 3:
            raise ConnectionError
        return await super().load_many(keys)


@pytest.mark.anyio
class TestRetryingSource(SourceContract):
    known = ROWS_WITH_NONE
    missing = MISSING

    @pytest.fixture
    def source(self):
        flickering = Flickering(ROWS_WITH_NONE)
        return RetryingSource(flickering, on=ConnectionError, attempts=50, wait_max=0.2, jitter=0.0)
