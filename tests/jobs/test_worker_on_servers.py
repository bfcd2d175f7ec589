"""Jobs whose store is a Valkey of their own that loses rows, or takes none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.jobs.acceptance import stores
from tests.jobs.acceptance.place import in_files
from tests.servers.valkey import start_valkey


@pytest.mark.parametrize("way", stores.WAYS)
def test_a_store_that_loses_or_refuses_rows_is_never_done_with_one_missing(way, tmp_path):
    with in_files() as files, start_valkey(tmp_path) as valkey:
        place = replace(files, store={"kind": "redis", "url": valkey.url}, valkey=valkey)
        shown = stores.show(place, rows=3_000, batch=100, ways=[way])

    assert shown.holds, shown.figures
