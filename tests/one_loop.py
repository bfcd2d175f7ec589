"""asyncio alone, in real time: for formats of files, which are read in threads and never meet a loop.

What is awaited is the same for all files; `sources/test_file` and a contract test it on each backend.
"""

from __future__ import annotations

import pytest


@pytest.fixture
def anyio_backend():
    """Run each test marked ``anyio`` on asyncio."""
    return "asyncio"
