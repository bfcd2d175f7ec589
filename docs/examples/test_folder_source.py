"""The folder of documents keeps the promises of a source: ``python -m pytest docs/examples``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from async_backfill.testing import KeysetScanContract, PartialFailureContract
from docs.examples.folder_source import FolderSource

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

pytestmark = pytest.mark.anyio

DOCUMENTS = {f"item_{number:02}": {"price": number} for number in range(20)} | {"free": None}


@pytest.fixture
def anyio_backend() -> str:
    """Run the tests on asyncio; without this they run on trio as well."""
    return "asyncio"


@pytest.fixture
def source(tmp_path: Path) -> FolderSource:
    """Return a source with `DOCUMENTS` and one file that is cut off."""
    for key, document in DOCUMENTS.items():
        (tmp_path / f"{key}.json").write_text(json.dumps(document))
    (tmp_path / "damaged.json").write_text('{"price": ')
    return FolderSource(tmp_path)


class TestLoading(PartialFailureContract[str, object]):
    """Twelve promises of every source, and two of one whose keys can fail one by one."""

    known = DOCUMENTS
    missing = ("nothing", "", "../secrets", "ITEM_01")
    failing = ("damaged",)


class TestListing(KeysetScanContract[str]):
    """Eight promises of every list of keys, and three of one from which keys may be deleted meanwhile."""

    keys = (*DOCUMENTS, "damaged")

    @pytest.fixture
    def scan(self, source: FolderSource) -> FolderSource:
        """Return what lists the keys: the source itself."""
        return source

    @pytest.fixture
    def delete(self, tmp_path: Path) -> Callable[[str], Awaitable[None]]:
        """Return what deletes one key."""

        async def delete(key: str) -> None:
            (tmp_path / f"{key}.json").unlink()

        return delete
