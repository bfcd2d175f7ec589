"""The example of a test of a source: what it says of its source is true."""

from __future__ import annotations

import pytest

from docs.examples.test_folder_source import TestListing, TestLoading, anyio_backend, source

__all__ = ["TestListing", "TestLoading", "anyio_backend", "source"]

pytestmark = pytest.mark.anyio
