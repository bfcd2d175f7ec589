"""What is not installed is said in one line that ends with how to install it."""

from __future__ import annotations

import pytest

from async_backfill import MissingExtraError
from async_backfill._common.extras import needed_by


def test_a_missing_package_of_an_extra_says_how_to_install_it():
    with pytest.raises(MissingExtraError) as missing, needed_by("$.store", "redis", "no_such_package"):
        import no_such_package.part  # noqa: F401, PLC0415 - it is not there

    assert str(missing.value) == "$.store: needs no_such_package: pip install 'async-backfill[redis]'"


def test_a_mistake_of_our_own_is_no_missing_extra():
    with pytest.raises(ModuleNotFoundError, match="no_such_package"), needed_by("$.store", "redis", "redis"):
        import no_such_package  # noqa: F401, PLC0415 - it is not there
