"""What is not installed is said in one line that ends with how to install it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from async_backfill import MissingExtraError
from async_backfill._common.extras import needed_by
from tests.common.without_extras import MODULES


@pytest.fixture(scope="module")
def said():
    """What each module says in a process that finds none of the optional libraries."""
    command = [sys.executable, "-W", "error", "-m", "tests.common.without_extras"]
    ran = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.stderr == ""
    return json.loads(ran.stdout)


@pytest.mark.parametrize(("module", "extra"), MODULES.items())
def test_a_module_whose_extra_is_missing_says_what_to_install(said, module, extra):
    if extra == "zstd" and sys.version_info >= (3, 14):
        pytest.skip("the standard library has zstd")

    assert said[module].startswith("async_backfill.")
    assert said[module].endswith(f": pip install 'async-backfill[{extra}]'")


def test_a_missing_package_of_an_extra_says_how_to_install_it():
    with pytest.raises(MissingExtraError) as missing, needed_by("$.store", "redis", "no_such_package"):
        import no_such_package.part  # noqa: F401, PLC0415 - it is not there

    assert str(missing.value) == "$.store: needs no_such_package: pip install 'async-backfill[redis]'"
    assert missing.value.name == "no_such_package"


def test_a_redis_that_is_too_old_says_how_to_install_a_newer_one(monkeypatch):
    redis = pytest.importorskip("redis", reason="needs the extra redis")
    from async_backfill.redis import connect, from_client  # noqa: PLC0415 - as above

    monkeypatch.setattr(redis, "__version__", "5.3.1")
    said = (
        r"^async_backfill.redis: needs redis 8.0 or later, not 5.3.1: pip install 'async-backfill\[redis\]'$"
    )
    with pytest.raises(MissingExtraError, match=said):
        connect("redis://host")
    with pytest.raises(MissingExtraError, match=said):
        from_client(redis.asyncio.Redis())


def test_the_outermost_that_needs_a_package_is_named():
    outer = needed_by("outer", "redis", "no_such_package")
    inner = needed_by("inner", "redis", "no_such_package")
    with pytest.raises(MissingExtraError, match=r"^outer: needs no_such_package"), outer, inner:
        import no_such_package  # noqa: F401, PLC0415 - it is not there


def test_a_missing_extra_is_caught_like_any_failed_import():
    assert issubclass(MissingExtraError, ImportError)


def test_a_mistake_of_our_own_is_no_missing_extra():
    with pytest.raises(ModuleNotFoundError, match="no_such_package"), needed_by("$.store", "redis", "redis"):
        import no_such_package  # noqa: F401, PLC0415 - it is not there
